//! Which words mention which observation.
//!
//! Patterns run over normalised sentences (lower case, single blanks). They are our own, written
//! from the labelling guide; the numbers in comments are its rules. Where two phrases overlap, the
//! longer one stands: `nodular opacity` is a lung lesion and its `opacity` is not heard again.

use crate::report::Observation::{
    self, Atelectasis as AT, Cardiomegaly as CM, Consolidation as CO, Edema as ED,
    EnlargedCardiomediastinum as EC, Fracture as FR, LungLesion as LL, LungOpacity as LO,
    PleuralEffusion as PE, PleuralOther as PO, Pneumonia as PN, Pneumothorax as PX,
    SupportDevices as SD,
};

/// What a phrase says by itself, before negation and hedges are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// Present unless denied or hedged.
    Stated,
    /// Hedged by its own wording: uncertain unless denied.
    Doubtful,
    /// Says by itself that there is none.
    Absent,
}

use Stance::{Absent, Doubtful, Stated};

/// A phrase and what it mentions. Nothing mentioned: the phrase hides the shorter ones within it.
pub(super) type Phrase = (&'static [(Observation, Stance)], &'static str);

/// Phrases that mention findings or devices.
pub(super) const PHRASES: &[Phrase] = &[
    // Heart and mediastinum by a single noun; their size and shape are in `silhouette`.
    (
        &[(CM, Stated)],
        r"cardiomegaly|megalocardia|cardiac enlargement|(?:left |right )?(?:ventricular|atrial|biventricular|biatrial|chamber) (?:enlargement|dilat(?:at)?ion|prominence)|(?:left|right) (?:ventricle|atrium) (?:is |appears |remains )?(?:mildly |moderately |markedly )?(?:enlarged|dilated|large)",
    ),
    (
        &[(EC, Stated)],
        r"(?:superior |upper )?mediastinal (?:widening|enlargement|prominence|broadening)|widen(?:ing|s|ed)? (?:of )?the (?:superior |upper )?mediastinum",
    ),
    // Lung opacity (1, 9, 12, 36).
    (
        &[(LO, Stated)],
        r"(?:air ?-?space |alveolar |interstitial |parenchymal |hazy |patchy |ground[- ]glass )?(?:opacit(?:y|ies)|opacification\w*|opacified|opaque|densit(?:y|ies))",
    ),
    (
        &[(LO, Stated)],
        r"(?:air ?-?space|alveolar) (?:disease|process\w*|changes?|filling|abnormalit\w+|infiltrat\w*)|air ?-?space|infil[tr]?[tr]at\w*",
    ),
    (
        &[(LO, Stated)],
        r"(?:interstitial|reticular|bronchovascular|peribronchovascular) (?:lung )?(?:markings?|patterns?|prominence|thickening|changes?|disease|process|infiltrat\w*|abnormalit\w+|coarsening)|interstitium|reticulations?|reticulonodular (?:opacit\w+|densit\w+|patterns?|changes?|disease|markings?)|reticul(?:o)?nodular\w*|ild",
    ),
    (
        &[(LO, Stated)],
        r"(?:peri)?bronchial (?:wall )?(?:thickening|cuffing)|ground[- ]glass|haz(?:e|iness)|shadowing|honeycomb\w*|lung contusions?|pulmonary contusions?",
    ),
    (&[(LO, Stated)], r"(?:parenchymal )?(?:scar(?:s|ring|red)?|fibro(?:sis|tic)|cicatri\w+)"),
    (
        &[(LO, Absent)],
        r"(?:lungs?|lung (?:fields|zones|volumes|parenchyma|bases)|hemithora(?:x|ces))(?: \w+){0,6},? (?:are|is|remains?|appears?|look) (?:\w+ ){0,3}clear|(?:lungs|lung fields|both lungs|bases|lung|hemithorax)(?: \w+){0,3}:? (?:are |otherwise |grossly |remain |now |well[- ](?:expanded|aerated|inflated|inflated) and )*clear|(?:lungs|lung fields)(?: \w+){0,4},? (?:and|but|otherwise) (?:\w+ )?clear|clear (?:\w+ )?(?:lungs?|lung fields)|clear and (?:well )?\w+ lungs",
    ),
    (
        &[],
        r"(?:bone|bony|osseous|mineral|calcific|metallic|soft[- ]tissue|hilar|mediastinal|paratracheal|breast|contrast|catheter|radio) ?-?(?:densit(?:y|ies)|opacit(?:y|ies))|radi(?:o)?-?opaque|(?:normal|symmetrical|of \w+|in) density|retrosternal air ?-?space|densit(?:y|ies) of the (?:hil\w+|bones?)",
    ),
    (&[], r"(?:sternotomy|surgical|skin) scars?|scar tissue of the skin|cystic fibrosis"),
    // Lung lesion (11, 30, 31, 39).
    (
        &[(LL, Stated)],
        r"(?:micro)?nodul(?:es?|arit\w+|ar)(?: (?:opacit(?:y|ies)|densit(?:y|ies)|lesions?|shadows?|calcifications?|focus|foci|infiltrat\w+))?|mass(?:es)?|granuloma(?:s|ta)?|granulomatous(?: (?:disease|changes?|calcifications?|infection|process|residua\w*))?|cavit(?:y|ies|ary|ation)(?: lesions?)?|tumou?rs?|neoplas\w+|metasta\w+|(?:adeno)?carcinomas?|cannonball\w*|lymphangitic \w+|mycetomas?|fungus balls?|aspergillomas?|abscess(?:es)?|ghon \w+",
    ),
    (
        &[(LL, Stated)],
        r"(?:lung|pulmonary|parenchymal|lobe|focal|cavitary|coin|round|rounded) lesions?|lesions? in the (?:\w+ ){0,2}(?:lung|lobe)",
    ),
    (
        &[(LO, Stated), (LL, Doubtful)],
        r"mass ?-?like (?:opacit(?:y|ies)|densit(?:y|ies)|airspace \w+)",
    ),
    (&[(CO, Stated), (LL, Doubtful)], r"mass ?-?like consolidations?"),
    (&[(LL, Doubtful)], r"mass ?-?like|nodule ?-?like"),
    (
        &[(LO, Stated), (LL, Stated)],
        r"nodular and (?:interstitial|reticular) (?:opacit\w+|densit\w+)",
    ),
    (
        &[],
        r"(?:hilar|perihilar|suprahilar|mediastinal|paratracheal|thyroid|soft[- ]tissue|chest wall|breast|body|bone|bony|abdominal|adrenal) (?:\w+ )?(?:mass(?:es)?|nodul\w+|mass-like densit\w+|tumou?rs?)|mass effect|(?:calcified |granulomatous )(?:hilar |mediastinal |lymph )+nodes?|(?:lytic|blastic|sclerotic|bone|bony|osseous|skeletal|destructive) (?:\w+ )?(?:lesions?|metasta\w+)",
    ),
    // Edema (18, 36).
    (
        &[(ED, Stated)],
        r"(?:pulmonary |interstitial |alveolar |perihilar |cardiogenic )*(?:o?edema\w*)|(?:(?:pulmonary|central|perihilar|mild|venous|vascular|hilar) )*(?:venous |vascular )?congest(?:ion|ed|ive changes?)|(?:congestive )?(?:heart |cardiac )failure|congestive failure|congestive|chf|(?:left ventricular|lv|ventricular) failure|failure|cephali[sz]ation|kerley(?: [ab])?(?: lines?)?|septal (?:lines?|thickening)|engorge\w*|redistribut\w+|diversion|(?:fluid|volume|circulatory) overload\w*|overload\w*|decompensat\w+",
    ),
    (
        &[(ED, Doubtful)],
        r"(?:prominent|prominence of(?: the)?|increased)(?: central| pulmonary| perihilar| upper lobe)*(?: pulmonary)? (?:vessels|vasculature|vascularity|vascular markings|vascular structures)|(?:pulmonary )?(?:vessels|vasculature|vascularity) (?:is|are|appears?|remains?) (?:\w+ )?(?:prominent|increased|indistinct)",
    ),
    (
        &[],
        r"(?:subcutaneous|soft[- ]tissue|chest wall|body wall) o?edema|respiratory failure|renal failure|failure of|failure to",
    ),
    // Consolidation (9, 27, 30).
    (&[(CO, Stated)], r"(?:lobar |focal |alveolar |airspace )?consolid\w+"),
    (
        &[(CO, Stated), (LO, Stated)],
        r"consolidat(?:ing|ive) (?:air ?-?space (?:disease|opacit\w+|process)|infiltrat\w*|opacit(?:y|ies)|densit(?:y|ies))|air ?-?space consolidations?",
    ),
    (&[(CO, Stated), (PN, Stated)], r"pneumonic consolidations?"),
    (
        &[(LO, Stated), (PN, Stated)],
        r"pneumonic (?:infiltrat\w*|opacit\w+)|infectious (?:infiltrat\w*|opacit\w+)",
    ),
    // Pneumonia (23, 24, 33).
    (
        &[(PN, Stated)],
        r"(?:broncho|pleuro)?-?pneumoni(?:a|as|c)(?: process)?|pna|infecti(?:on|ons|ous)(?: process\w*| etiolog\w+| disease)?|(?:active )?(?:tuberculosis|tb|koch's lesions?)",
    ),
    (
        &[],
        r"(?:old|prior|remote|healed|previous|past|chronic) (?:granulomatous )?(?:tuberculosis|tb|infections?)|pneumonitis",
    ),
    // Atelectasis (37).
    (
        &[(AT, Stated)],
        r"(?:sub)?-?(?:segmental )?atele?c?t\w+|atx|collaps(?:e|ed|ing)|(?:lobar )?volume loss|loss of volume|loss of lung volume",
    ),
    // Pneumothorax (21, 33).
    (&[(PX, Stated)], r"pneumo ?-?thora\w+|ptxs?|pleural air"),
    (&[(PX, Stated), (PE, Stated)], r"(?:hydro|ha?emo|pyo) ?-?pneumo ?-?thora\w+"),
    // Pleural effusion (7, 21, 33, 36).
    (
        &[(PE, Stated)],
        r"(?:pleural |parapneumonic |subpulmonic |loculated )*effus\w+|effs?|(?:free |loculated )?pleural (?:fluid|collections?|liquid)|free fluid|fluid (?:\w+ ){0,4}(?:fissures?|pleura\w*|base|bases|angles?|sulc\w+|costophrenic)|(?:fissural|loculated|subpulmonic|layering) fluid|fluid collections?|(?:no |free of |any |free[- ]flowing |trace |of )?fluid|(?:hydro|ha?emo|pyo|chylo)thora(?:x|ces)|empyema",
    ),
    (
        &[(PE, Doubtful)],
        r"blunt(?:s|ed|ing)?(?: (?:of|at))?(?: \w+){0,4}? (?:costophrenic|costo-phrenic|cp|angles?|sulc(?:us|i)|recess)(?: (?:angles?|sulc(?:us|i)))?|(?:costophrenic|cp|posterior|lateral) (?:angles?|sulc(?:us|i)|recess(?:es)?)(?: \w+){0,5}? (?:blunt(?:ed|ing)|obscured|obliterated|hazy)|blunting|blunted",
    ),
    (
        &[(LO, Absent), (PE, Absent)],
        r"lungs and pleural (?:spaces?|surfaces?|cavities)(?: \w+){0,2}? clear",
    ),
    (
        &[(PE, Absent)],
        r"(?:costophrenic|costo-phrenic|cp|lateral|posterior) (?:\w+ )?(?:angles?|sulc(?:us|i)|recess(?:es)?|gutters?)(?: \w+){0,4}? (?:sharp|clear|crisp|preserved|well[- ]defined)|(?:sharp|clear|crisp) (?:\w+ ){0,2}(?:costophrenic|cp|angles?|sulci)(?: angles?)?|pleural (?:spaces?|surfaces?|cavities|cavity)(?: \w+){0,2}? (?:clear|dry|normal|unremarkable)|(?:angles|sulci|recesses|gutters) (?:are )?(?:sharp|clear)|pleural (?:spaces?|surfaces?|cavities)(?: \w+){0,2}? (?:empty|airless)",
    ),
    (
        &[],
        r"pericardial (?:effusion|eff|fluid|collection)s?|fluid[- ](?:overload\w*|filled|level|status)|air[- ]fluid(?: levels?)?|fluid levels?",
    ),
    // Pleural other (12, 33, 39).
    (
        &[(PO, Stated)],
        r"(?:bi)?(?:apical |basal |diffuse )?pleural(?:[- ]based)? (?:\w+ )?(?:thicken\w*|plaqu\w+|scar(?:s|ring)?|calcifi\w+|mass(?:es)?|tumou?rs?|reaction|fibrosis|lesions?|disease|nodul\w+)|(?:thick(?:en)?(?:ed|ing of the)?|calcified) (?:\w+ )?pleura|pleura (?:is |appears )?(?:thick\w*|calcified)|fibrothorax|apical (?:pleural )?(?:caps?|capping)|caps|mesothelioma|(?:calcified |asbestos )plaques?|pleural plaques?",
    ),
    (
        &[(PO, Stated), (LO, Stated)],
        r"(?:pleuro|pleural)[- /]?parenchymal (?:scar(?:s|ring)?|thickening|fibrosis|changes?|opacit\w+)",
    ),
    (&[], r"(?:atheromatous|atherosclerotic|aortic) (?:\w+ )?plaqu\w+"),
    // Fracture (8, 25, 34, 37).
    (
        &[(FR, Stated)],
        r"fractur\w*|fxs?|compression (?:deformit\w+|fractur\w+|injur\w+)|(?:vertebral|vertebra|vertebrae|[tl]\d+)(?: \w+){0,3} (?:collapse|collapsed|compressed|compression)|(?:collapse|compression) of (?:the |a )?(?:\w+ )?(?:[tl]\d+|vertebra\w*)|vertebra plana|(?:vertebral|body|anterior) height loss|loss of (?:\w+ ){0,2}(?:vertebral|body|anterior)?(?: body)? ?height|lost (?:\w+ ){0,6}height|callus|cortical (?:break|step|disruption)|wedge (?:compression|fractur\w+)",
    ),
    (
        &[(FR, Absent)],
        r"(?:bon(?:es?|y)|osseous|ribs?|skelet\w+|thora(?:x|cic)|cage|clavicles?|vertebra\w*|spine|xxxx)(?: \w+){0,6}? (?:is |are |appears? |remains? )?(?:\w+ )?intact|intact (?:bon\w+|osseous|ribs?|skelet\w+)(?: \w+)?",
    ),
    // Support devices (26, 41).
    (
        &[(SD, Stated)],
        r"catheters?|picc\w*|port-?a-?caths?|med-?i?-?ports?|mediports?|ports?|(?:power|chemo)-?ports?|(?:chest|endotracheal|tracheal|nasogastric|orogastric|enteric|feeding|tracheostomy|gastric|et|ng|og|thoracostomy|drainage|dobbhoff|pleural|nasoenteric) tubes?|tubes?|tubing|ett|ngt|ogt|dobb?hoff|drains?|pigtails?|stents?|pace-?makers?|pacers?|ppm|pacing (?:device|wires?|leads?|system)|a?icds?|biv|crt-?d|defibrillators?|generators?|(?:pacer|pacemaker|icd|monitor(?:ing)?|ekg|ecg|ventricular|atrial|epicardial|external|cardiac|overlying) (?:leads?|wires?|electrodes?|pads?)|leads|electrodes?|stimulators?",
    ),
    (
        &[(SD, Stated)],
        r"(?:central|venous|arterial|subclavian|jugular|ij|dialysis|access|femoral|support|picc|swan|monitoring) (?:venous |access )?lines?|lines?,? (?:and|or|/|&) tubes?|lines?[ /,]+tubes?|tubes?,? (?:and|or|/|&) lines?|tubes?[ /,]+lines?|no lines?|lines? (?:tips?|terminates?|placement|position)|cvcs?|cvl|swan(?:[- ]ganz)?(?: catheter)?|pa catheter|introducer|sheath|cannulas?|iabp|balloon pump|impella|lvad|ecmo|assist devices?|hardware|prosthe(?:sis|tic|ses)(?: (?:heart |aortic |mitral )?valves?)?|(?:aortic|mitral|cardiac|heart|prosthetic|mechanical|tricuspid) valves? (?:replacement|prosthesis|repair|ring)s?|(?:mechanical|prosthetic|artificial|bioprosthetic) (?:\w+ )?valves?|avr|mvr|tavr|tavi|annuloplasty(?: rings?)?|sternotomy (?:wires?|sutures?|xxxx|hardware|cerclage)|sternal (?:wires?|xxxx)|wires?|cerclage|(?:fixation|fusion|spinal|orthop\w+) (?:\w+ )?(?:hardware|rods?|plates?|screws?|xxxx)|(?:pedicle )?screws?|plates? and screws?|rods|harrington rods?|arthroplast\w+|joint replacement|loop recorders?|event recorders?|(?:ivc|caval|vena cava) filters?|filters?|occluders?|amplatzer|tracheostomy|(?:support|implant\w*|cardiac|medical|metallic|monitoring|electronic|conduction|assist|closure) devices?|devices?|vp shunt|shunts? (?:catheter|tubing)|lap-? ?band\w*|gastric band|pads|watchman|mitraclip",
    ),
    (
        &[],
        r"(?:fibro)?plate(?:like)? atelectasis|lead to|leads to|(?:ap|semi-?erect|upright|supine|erect) port|port(?:able)? (?:chest|ap|view|film|exam\w*)|kerley [ab] lines?|chest tube tract|airways?",
    ),
];

/// What is looked at for size and shape: heart (CM), mediastinum (EC), or both.
pub(super) const SUBJECTS: &[(&[Observation], &str)] = &[
    (
        &[CM],
        r"heart(?: size| shadow| silhouette| contours?| borders?| diameter)?|cardiac (?:silhouette|silouette|shadow|size|contours?|outline|diameter|apex|borders?|width|configuration)(?: size)?|cardio-?pericardial silhouette|cardio-?thoracic ratio|cor|cardiac(?: (?:xxxx|is|are|not))",
    ),
    (
        &[EC],
        r"cardio-?media?st?\w*(?: (?:silhouettes?|contours?|outlines?|structures|shadows?|size|borders?|margins?|width))?|(?:superior |upper )?mediastin(?:um|al (?:silhouettes?|contours?|outlines?|structures|shadows?|width|borders?|margins?|size|xxxx))|vascular pedicle|cardio-?mediastinum",
    ),
    (
        &[CM, EC],
        r"cardiac,? ?(?:and |/ ?|& ?)?(?:\w+,? )?(?:and |/ ?|& ?)?mediastin(?:al|um)(?: (?:silhouettes?|contours?|outlines?|structures|shadows?|size|borders?|margins?|width))?|(?:heart|cardiac silhouette|heart size),? ?(?:and |/|& )(?:the )?mediastin(?:um|al)(?: (?:silhouettes?|contours?|outlines?|structures|shadows?|size|borders?|width))?|mediastinal and cardiac (?:silhouettes?|contours?|outlines?|shadows?)",
    ),
    (
        &[],
        r"(?:behind|overlying|overlies|over|obscur\w+|beneath|left|right|adjacent to|near|of) (?:the )?(?:heart|cardiac (?:silhouette|shadow|apex|border))|(?:left|right) heart (?:border|silhouette)|heart (?:failure|valves?|transplant|disease|monitor\w*|surgery|rate)|heart (?:is |has )?(?:shifted|displaced)",
    ),
];

/// What is said of size and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Normal in size (5, 38).
    Normal,
    /// Enlarged.
    Enlarged,
    /// Between the two.
    Borderline,
    /// Hides shorter descriptors.
    Other,
}

/// Descriptors of size and shape.
pub(super) const SHAPES: &[(Shape, &str)] = &[
    (
        Shape::Normal,
        r"normal|nl|nml|ok|unremarkable|of (?:\w+ )?normal (?:size|width)|(?:not|n't|\w+n't) (?:\w+ ){0,3}(?:enlarged|widened|big|wide|dilated|large|bigger|broad\w*|prominent|increased)|no widening|within (?:the )?(?:normal|upper) limits(?: of normal)?|within normal|wnl|un-?enlarged|non-?enlarged|(?:at )?(?:the )?upper (?:limits?|range)(?: of)?(?: the)? normal|upper[- ]?normal|upper limits?|(?:near |at )?top[- ]?(?:limits? )?(?:of )?(?:the )?normal(?: limits)?|high[- ]normal|normal (?:size|limits|width|contour)|not (?:\w+ ){0,3}(?:enlarged|widened|big|wide|dilated|large|bigger|broad\w*|prominent)|neither (?:\w+ )?(?:enlarged|widened|shifted nor widened)|maintained|narrow\w*|small|intact|stable and normal",
    ),
    (
        Shape::Enlarged,
        r"enlarge(?:d|ment)|cardiomegaly|prominent|prominence|widen(?:ed|ing)|wide|big|large|dilat(?:ed|ation|ion)|broad(?:ened|ening)?|increased|globular|generous|bulky|full|magnified|bigger|enlarging",
    ),
    (
        Shape::Borderline,
        r"borderline(?:[- ](?:to )?(?:mildly |slightly |in )?(?:enlarged|enlargement|prominent|widened|normal|cardiomegaly))?|(?:normal|upper limits of normal|top normal) to (?:mildly|slightly|borderline|minimally) (?:enlarged|prominent)|upper limits of normal to \w+ enlarged|slightly above normal|upper limits of normal or (?:\w+ )?enlarged",
    ),
    (
        Shape::Other,
        r"abnormal|(?:normal|large) (?:lung volumes|lungs|pulmonary|vascular\w*|aort\w+)|prominent (?:pulmonary|vascular|aort\w+|hil\w+|interstitial|markings|epicardial|pericardial|fat)|small (?:\w+ )?(?:effusion|nodule|opacity|calcifi\w+|hiatal|granuloma)|large (?:\w+ )?(?:effusion|nodule|mass|opacity|hiatal|hernia|pneumothorax|lung)|increased (?:\w+ )?(?:markings|opacity|opacities|density|interstitial|lung|vascular\w*)|enlarged (?:\w+ )?(?:hil\w+|aort\w+|node\w*|pulmonary|thyroid)|dilated (?:\w+ )?(?:aort\w+|bowel|esophag\w+)",
    ),
];
