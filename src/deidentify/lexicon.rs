//! Words that decide whether a name is a name: ordinary English, radiology, eponyms, given names.
//!
//! The lists are short on purpose. A word belongs in `common` or `medical` when a chest report may
//! well hold it as a word ("long", "stone", "mass"); a surname that reports do not hold as a word
//! ("Taylor") stays out, so that it is replaced wherever it stands.

use std::collections::HashSet;
use std::sync::LazyLock;

/// A list of lower-case words, parted by white space.
type Words = LazyLock<HashSet<&'static str>>;

static COMMON: Words = LazyLock::new(|| split(include_str!("lexicon/common.txt")));
static MEDICAL: Words = LazyLock::new(|| split(include_str!("lexicon/medical.txt")));
static EPONYMS: Words = LazyLock::new(|| split(include_str!("lexicon/eponyms.txt")));
static EPONYMS_WITH_NOUN: Words =
    LazyLock::new(|| split(include_str!("lexicon/eponyms_with_noun.txt")));
static GIVEN: Words = LazyLock::new(|| split(include_str!("lexicon/given.txt")));

/// What an eponym stands before when it is medicine and not a person: "Campbell's disease".
static EPONYM_NOUNS: Words = LazyLock::new(|| {
    split(
        "anatomy angle aneurysm anomaly apex area artery bodies body cannula catheter catheters \
         cell cells classification clip complex criteria cyst dehiscence deformity device disease \
         dissection diverticulum drain drains duct effect esophagus filter fissure focus formula \
         foramen fracture fractures fundoplication graft grade guideline guidelines heart hernia \
         hernias hump index lesion lesions ligament line lines lymphoma maneuver method myotomy \
         needle node nodes nodules operation phenomenon pin pins pneumonia point port ports pouch \
         procedure recommendation recommendations reflex repair ring rod rods sarcoma scale score \
         screw shunt sign space splint stain stimulator stripe sulcus syndrome system test \
         thyroiditis triad triangle tube tubes tumor tumour type ulcer units valve wire wires",
    )
});

/// Roles and places that stand where a name could: "discussed with Radiology".
static ROLES: Words = LazyLock::new(|| {
    split(
        "admitting ambulatory anesthesia assistant attending cardiologist cardiology caregiver \
         clinic clinical clinician consultant covering critical department doctor ed emergency \
         er family fellow floor general gynecology hospital hospitalist house icu inpatient \
         intensive intensivist intern internal interpreter lab laboratory medical medicine micu \
         nephrology neurology neurosurgery nicu none nurse nursing obstetrics oncologist oncology \
         ordering orthopedics outpatient patient pediatrics pharmacy phone physician picu \
         practitioner primary provider pulmonary pulmonologist radiologist radiology referring \
         report resident self service sicu staff student surgeon surgery team technician \
         technologist telephone trauma unassigned unit unknown urgent urology ward",
    )
});

/// Words that only join others: no name starts with them, however they are capitalised.
static FUNCTION_WORDS: Words = LazyLock::new(|| {
    split(
        "a all an and any as at be been both but by call called date each for from has have he her \
         his i if in is it my name no not of on or other our same she that the their there these \
         they this those to was we were what when which who with you your",
    )
});

fn split(list: &'static str) -> HashSet<&'static str> {
    list.split_whitespace().collect()
}

/// An ordinary English word, so that a name like it needs a context that says it is a name.
pub(super) fn is_common(folded: &str) -> bool {
    COMMON.contains(folded)
}

/// A word of radiology or of hospitals.
pub(super) fn is_medical(folded: &str) -> bool {
    MEDICAL.contains(folded) || ROLES.contains(folded)
}

/// Either of the two.
pub(super) fn is_ordinary(folded: &str) -> bool {
    is_common(folded) || is_medical(folded)
}

/// A role, a department or "unknown": never a person.
pub(super) fn is_role(folded: &str) -> bool {
    ROLES.contains(folded)
}

/// An eponym that stands alone in reports: "Foley in place", "Swan-Ganz", "Kerley B lines".
pub(super) fn is_eponym(folded: &str) -> bool {
    EPONYMS.contains(folded)
}

/// An eponym only when the next word says so: "Wilson disease", but "Wilson" alone is a person.
pub(super) fn is_eponym_before(folded: &str, next: &str) -> bool {
    (EPONYMS.contains(folded) || EPONYMS_WITH_NOUN.contains(folded)) && EPONYM_NOUNS.contains(next)
}

/// A frequent given name.
pub(super) fn is_given_name(folded: &str) -> bool {
    GIVEN.contains(folded)
}

/// An article, pronoun, preposition or the like.
pub(super) fn is_function_word(folded: &str) -> bool {
    FUNCTION_WORDS.contains(folded)
}
