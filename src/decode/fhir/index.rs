//! Resolves references inside a bundle and inside a resource. What is not there is not fetched.

use std::collections::HashMap;

use super::model::{Reference, Resource};

/// The resources of a bundle by their addresses.
#[derive(Default)]
pub(super) struct Index<'b> {
    by_address: HashMap<String, &'b Resource>,
}

/// A resource that refers to others, with those it contains by their ids.
pub(super) struct Holder<'r> {
    contained: HashMap<&'r str, &'r Resource>,
}

impl<'r> Holder<'r> {
    pub(super) fn of(resource: &'r Resource) -> Self {
        let mut contained = HashMap::new();
        for resource in resource.contained.items() {
            contained.entry(resource.id.text()).or_insert(&**resource);
        }
        Self { contained }
    }
}

impl<'b> Index<'b> {
    /// Indexes a bundle by `fullUrl` and by `Type/id`.
    pub(super) fn of(bundle: &'b Resource) -> Self {
        let mut by_address = HashMap::new();
        for entry in bundle.entry.items() {
            let Some(resource) = entry.resource.as_ref() else { continue };
            if !matches!(
                resource.resource_type.text(),
                "Observation" | "ServiceRequest" | "ImagingStudy" | "Binary" | "DocumentReference"
            ) {
                continue;
            }
            let full_url = entry.full_url.text();
            if !full_url.is_empty() {
                by_address.entry(full_url.to_owned()).or_insert(&**resource);
            }
            let id = resource.id.text();
            if !id.is_empty() {
                let relative = format!("{}/{id}", resource.resource_type.text());
                by_address.entry(relative).or_insert(&**resource);
            }
        }
        Self { by_address }
    }

    /// The resource a reference of `holder` points to, if it is here.
    pub(super) fn resolve<'r>(
        &self,
        holder: &Holder<'r>,
        reference: &Reference,
    ) -> Option<&'r Resource>
    where
        'b: 'r,
    {
        let address = reference.reference.text();
        if let Some(id) = address.strip_prefix('#') {
            return holder.contained.get(id).copied();
        }
        let versionless = address.split("/_history/").next().unwrap_or(address);
        if let Some(found) = self.by_address.get(versionless) {
            return Some(found);
        }
        // An absolute address of a resource that the bundle knows by its relative one.
        let mut parts = versionless.rsplit('/');
        let (id, kind) = (parts.next()?, parts.next()?);
        self.by_address.get(&format!("{kind}/{id}")).copied()
    }
}
