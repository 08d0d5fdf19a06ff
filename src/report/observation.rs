//! What is said of a report: thirteen observations, each with a status.

use serde::{Deserialize, Serialize};

/// The thirteen observations that the student predicts, in CheXbert's order.
///
/// What counts as a mention of each is written in the labelling guide. The fourteenth, No Finding,
/// is derived ([`no_finding`]), never predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// Mediastinum or cardiomediastinal silhouette enlarged.
    EnlargedCardiomediastinum,
    /// Heart enlarged.
    Cardiomegaly,
    /// Opacity, infiltrate, airspace disease, interstitial markings, scar.
    LungOpacity,
    /// Nodule, mass, granuloma, metastasis in the lung.
    LungLesion,
    /// Pulmonary oedema, congestion, heart failure.
    Edema,
    /// Consolidation, by that word.
    Consolidation,
    /// Pneumonia or infection.
    Pneumonia,
    /// Atelectasis, collapse, volume loss.
    Atelectasis,
    /// Pneumothorax.
    Pneumothorax,
    /// Fluid in the pleural space.
    PleuralEffusion,
    /// Pleural thickening, plaque, scar, mass.
    PleuralOther,
    /// Any fracture, old or new.
    Fracture,
    /// Line, tube, pacemaker, hardware.
    SupportDevices,
}

/// Number of predicted observations.
pub const OBSERVATIONS: usize = 13;
/// Number of statuses.
pub const STATUSES: usize = 4;
/// Name of the derived fourteenth label.
pub const NO_FINDING: &str = "no_finding";

impl Observation {
    /// All observations in model order: row `i` of the model's output is `ALL[i]`.
    pub const ALL: [Self; OBSERVATIONS] = [
        Self::EnlargedCardiomediastinum,
        Self::Cardiomegaly,
        Self::LungOpacity,
        Self::LungLesion,
        Self::Edema,
        Self::Consolidation,
        Self::Pneumonia,
        Self::Atelectasis,
        Self::Pneumothorax,
        Self::PleuralEffusion,
        Self::PleuralOther,
        Self::Fracture,
        Self::SupportDevices,
    ];

    /// Machine name, as in label files and findings (`pleural_effusion`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::EnlargedCardiomediastinum => "enlarged_cardiomediastinum",
            Self::Cardiomegaly => "cardiomegaly",
            Self::LungOpacity => "lung_opacity",
            Self::LungLesion => "lung_lesion",
            Self::Edema => "edema",
            Self::Consolidation => "consolidation",
            Self::Pneumonia => "pneumonia",
            Self::Atelectasis => "atelectasis",
            Self::Pneumothorax => "pneumothorax",
            Self::PleuralEffusion => "pleural_effusion",
            Self::PleuralOther => "pleural_other",
            Self::Fracture => "fracture",
            Self::SupportDevices => "support_devices",
        }
    }

    /// Name for people, as CheXpert's files write it (`Pleural Effusion`).
    pub const fn title(self) -> &'static str {
        match self {
            Self::EnlargedCardiomediastinum => "Enlarged Cardiomediastinum",
            Self::Cardiomegaly => "Cardiomegaly",
            Self::LungOpacity => "Lung Opacity",
            Self::LungLesion => "Lung Lesion",
            Self::Edema => "Edema",
            Self::Consolidation => "Consolidation",
            Self::Pneumonia => "Pneumonia",
            Self::Atelectasis => "Atelectasis",
            Self::Pneumothorax => "Pneumothorax",
            Self::PleuralEffusion => "Pleural Effusion",
            Self::PleuralOther => "Pleural Other",
            Self::Fracture => "Fracture",
            Self::SupportDevices => "Support Devices",
        }
    }

    /// The observation of that machine name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.name() == name)
    }
}

/// What the report says of one observation.
///
/// `Uncertain` is the radiologist's hedge. It is not our doubt: that is the confidence.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum FindingStatus {
    /// Nothing is said of it.
    #[default]
    NotMentioned,
    /// Said to be present.
    Positive,
    /// Said to be absent, normal or resolved.
    Negative,
    /// The report hedges on whether it is present.
    Uncertain,
}

impl FindingStatus {
    /// All statuses in model order: column `i` of the model's output is `ALL[i]`.
    pub const ALL: [Self; STATUSES] =
        [Self::NotMentioned, Self::Positive, Self::Negative, Self::Uncertain];

    /// Machine name (`not_mentioned`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotMentioned => "not_mentioned",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Uncertain => "uncertain",
        }
    }

    /// The status of that machine name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// CheXpert's number: 1 positive, 0 negative, -1 uncertain, blank not mentioned.
    pub const fn chexpert(self) -> &'static str {
        match self {
            Self::NotMentioned => "",
            Self::Positive => "1",
            Self::Negative => "0",
            Self::Uncertain => "-1",
        }
    }
}

/// One status per observation, in [`Observation::ALL`] order.
pub type Labels = [FindingStatus; OBSERVATIONS];

/// The derived label No Finding: positive when no observation but Support Devices is positive or
/// uncertain, otherwise not mentioned. Only for text that was read: never call it for a skipped
/// report (labelling guide, last section).
pub fn no_finding(labels: &Labels) -> FindingStatus {
    let abnormal = Observation::ALL.iter().zip(labels).any(|(observation, status)| {
        *observation != Observation::SupportDevices
            && matches!(status, FindingStatus::Positive | FindingStatus::Uncertain)
    });
    if abnormal { FindingStatus::NotMentioned } else { FindingStatus::Positive }
}
