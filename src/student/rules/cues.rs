//! Words that deny or hedge a mention, and words that end their reach.

/// What a cue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cue {
    /// Denies what follows.
    DeniesNext,
    /// Denies what precedes.
    DeniesPrevious,
    /// Hedges what follows.
    HedgesNext,
    /// Names a cause ("to suggest"): hedges what follows, but stays under an earlier denial.
    HedgesCause,
    /// Hedges what precedes.
    HedgesPrevious,
    /// Between two alternatives: hedges both.
    Versus,
    /// Outside the lung: an opacity that is this is none (19).
    Outside,
    /// Advice or condition: what follows, to the end of the sentence, is no mention.
    Advice,
    /// History or condition: what follows, to the next comma, is no mention.
    Aside,
    /// Ends every reach.
    Stop,
    /// Ends the reach of what stands before it.
    StopNext,
    /// A new statement within a list: ends every reach unless the list goes on with "or".
    Fresh,
    /// Hides shorter cues ("no change in").
    Nothing,
}

use Cue::{
    Advice, Aside, DeniesNext, DeniesPrevious, Fresh, HedgesCause, HedgesNext, HedgesPrevious,
    Nothing, Outside, Stop, StopNext, Versus,
};

/// Cues by phrase. Where two overlap, the longer one stands.
pub(super) const CUES: &[(Cue, &str)] = &[
    // Denial.
    (
        DeniesNext,
        r"no (?:\w+ ){0,2}(?:evidence|signs?|suggestion|indication|findings?|e/o|demonstration) (?:of|for|to suggest)|no (?:definite|obvious|convincing|gross|frank|overt|large|significant|discrete|suspicious|possible|apparent|clear|definitive|residual)|not (?:\w+ )?(?:suggestive of|suspicious for|consistent with)|absence of|lack of|devoid of|neg(?:ative)? for|free (?:of|from)|clear of|rather th[ae]n|instead of|rul(?:es|ed|ing) out|(?:interval |complete |near |full )*(?:resolution|clearing|removal|disappearance|clearance|drainage) of|(?:interval|complete|full) (?:resolution|clearing|removal)|fails? to (?:show|demonstrate)|cannot (?:see|identify|find)|does not (?:show|have|contain)|no|without|w/o|not|non|neither|nor|never|absent|lacks|nothing|exclud(?:es|ed|ing)|removed|resolved|cleared|\w+n't",
    ),
    (
        DeniesPrevious,
        r"(?:(?:is|are|was|were|has|have|had|been|be|can|could|am|being|\w+n't) )*(?:not|no longer|never|n't|neither|nowhere) (?:\w+ ){0,2}?(?:seen|identified|present|visuali[sz]ed|demonstrated|evident|apparent|appreciated|noted|observed|detected|found|visible|suspected|shown|reproduced|recognized|recogni[sz]able|detectable|diagnosed|confirmed|there|proven|reaccumulated|recurred|included|in place|developed|formed|returned|re-?accumulated|materiali[sz]ed|increased)|(?:(?:is|are|was|were|has|have|had|been|be) )*(?:now |since |completely |entirely |fully |also |all |totally |essentially )*(?:resolved|cleared|disappeared|gone|vanished|absent|removed|withdrawn|extubated|out|healed over|excluded|ruled out|discontinued|negative|pulled out|taken out)|no longer|: ?(?:none|absent|negative|nil)|none(?: seen| identified| noted| present| now)?|has re-?expanded|(?:has|have) fully re-?expanded|re-?expanded",
    ),
    (DeniesPrevious, r"=: ?(?:no|neg)(?:[.;,]|$)"),
    (
        Nothing,
        r"(?:no|without|without any|not) (?:significant |appreciable |substantial |interval |real |detectable |obvious |acute |further |great |definite |much |any )*(?:change|changes|increase|increased|decrease|decreased|improvement|worsening|worse|growth|progression|progressed|difference|different|changed|larger|smaller|bigger|moved|altered|improved|resolved|cleared|gone)(?: (?:in|of|from|since|compared|as))?|no doubt|not only|no more than|not otherwise|not (?:completely|fully|entirely|yet|quite|all) (?:resolved|cleared|gone|absent|healed|removed|re-?expanded)|(?:partial(?:ly)?|partly|nearly|almost|mostly|largely|incompletely|near[- ]complete(?:ly)?|not|incomplete) (?:\w+ )?(?:resolved|cleared|gone|resolution(?: of)?|clearing(?: of)?|removed)|partial (?:\w+ )?(?:resolution|clearing)(?: of)?|partially|not well (?:seen|visuali[sz]ed|evaluated)|not to be confused|no (?:\d|one)|non ?-?(?:specific|displaced|calcified|obstructive|acute|united|union)|not removed|free (?:air|wall|fluid|edge)|free-flowing|may (?:of )?20\d\d|why not|not included|out of|carried out|nothing (?:new|more)|(?:removal|resolution) (?:is|was|may|should)",
    ),
    // Hedges.
    (
        HedgesNext,
        r"possib(?:le|ly|ility)(?: of)?|possibilities|prob(?:abl[ey])?|likely|likeliest|perhaps|maybe|presum(?:ed|ably|ptive|ption)|suspect(?:s|ed)?(?: of)?|suspicion (?:of|for)|suspicious (?:for|of)|question(?:able|ably|ed|s|ing)?(?: of)?|concern(?:s|ing)?(?: for| of| about)?|worrisome for|may|might|could|cannot (?:\w+ )?(?:exclude|rule out|r/o)|can ?not (?:\w+ )?(?:exclude|rule out|r/o)|can'?t (?:\w+ )?(?:exclude|rule out|r/o)|(?:difficult|hard|impossible) to (?:exclude|rule out|tell)|(?:does|do|would|not) not (?:\w+ )?(?:exclude|rule out)|differential(?: \w+){0,3}|rais(?:es|ed|ing) (?:the )?(?:possibility|question|concern|suspicion)s?(?: of| for)?|favou?r(?:s|ed|ing)?|query|equivocal(?: for)?|doubt(?:ful)?|unlikely(?: to (?:be|represent))?|potential(?:ly)?|appears? to (?:be|represent|have)|seems?(?: to be)?|conceivabl[ey]|either|whether|consider(?:ation|ed)?(?: of| for)?|hint(?: of|s at)?|vague|not certain|uncertain|unsure|is it|if any|tentative\w*",
    ),
    (HedgesNext, r"=(?:^|\s|\()\?\s?"),
    (
        HedgesCause,
        r"(?:to |not |could |may |might |would )?suggest(?:s|ed|ing|ive)?(?: of| the| a)?|suggestion of|indicative of|to (?:indicate|represent|explain|account for)",
    ),
    (
        HedgesPrevious,
        r"(?:(?:is|are|was|were|remains?|be|being|as|has|have|been) )*(?:also |most |more |thought |felt |still |only |therefore )*(?:possible|probable|suspected|likely|questionable|unlikely|less likely|favou?red|considered|equivocal|uncertain|doubtful|doubted|conceivable|in question|in doubt|unproven|presumed|hinted at|proposed|raised|entertained|suggested|a (?:\w+ )?(?:consideration|possibility|concern|question)|in the differential(?: diagnosis)?|difficult to (?:exclude|rule out)|hard to (?:exclude|rule out)|not (?:entirely |completely |totally |definitely |definitively )?(?:excluded|ruled out|out of the question))|(?:cannot|can not|can't|cant|could not|couldn't|not|\w+n't) (?:\w+ )?(?:be )?(?:\w+ )?(?:excluded|ruled out|r/o'd|discounted)|(?:may|might|could) (?:also |well |still )?(?:be present|exist|be there|be developing|coexist|be hidden|hide|lie|contribute|account for)|if any",
    ),
    (HedgesPrevious, r"=\?"),
    (
        Versus,
        r"versus|vs|as opposed to|favou?red over|favou?rs? over|more likely than|less likely|alternatively|or possibly|or less likely|or even",
    ),
    // Shadows from outside the lung (19).
    (
        Outside,
        r"nipples?|breasts?|end[- ]on vessels?|vessels?(?: \w+)?(?: end[- ]on| on end| seen on end)?|bone islands?|artifacts?|artefacts?|skin folds?|soft tissues?|summation|superimpos\w+|overlap\w*|buttons?|costochondral|cartilage|overlying (?:structures?|shadows?|clothing)|clothing|hair braids?|composite|confluence|rib ends?|monitor\w*|bra|pectoral\w*|scapula\w*|osteophytes?|external",
    ),
    // Advice, conditions, history (14).
    (
        Advice,
        r"recommend\w*|correlat\w+|follow-? ?up (?:is|to|with|ct|chest|film|examination|study|imaging|radiograph\w*|if|for|of|in)|advis\w+|suggest(?:ed)? (?:ct|follow\w*|further|repeat\w*|correlation|clinical)|(?:further )?(?:evaluat(?:e|ion)|assess(?:ment)?|workup|work-up)(?: is| of| for| to)|to (?:exclude|rule out|look for|evaluate|assess|document|confirm|ensure)|rule out|r/o|rule-out|would be (?:helpful|sensible|useful)|could be obtained|can be obtained|if (?:there|clinical\w*|concern|symptom\w*|pneumonia|suspicion|further|warranted|needed|the|a|this|an|indicated)|consider (?:ct|repeat|follow|further|chest|a|dedicated|pneumonia|infection)|attention (?:to|on)|should be (?:obtained|performed|repeated|considered|excluded)|please|limits? (?:the )?(?:evaluation|assessment)|limited (?:for|evaluation)|precludes?",
    ),
    (
        Aside,
        r"(?:history|hx|h/o|known history|clinical concern|question|evaluation|reason|indication) ?(?:of|for|:)|hx|h/o|status post|s/p|treated for|where|that would|in the (?:setting|context) of|for (?:possible|suspected)",
    ),
    // Ends of reach.
    (
        Stop,
        r"but|however|although|though|except(?:ing)?(?: for| from)?|aside from|apart from|other than|with the exception of|besides|whereas|while|yet",
    ),
    (Stop, r"=;"),
    (
        StopNext,
        r"which|because|leaving|beyond|despite|due to|secondary to|caused by|related to|given|consistent with|compatible with|in keeping with|representing|reflecting|since|after|following|just|only|remains?|persists?|(?:is|are) (?:seen|present|noted|unchanged)|there (?:is|are|has|have)|unchanged|again",
    ),
    (
        Fresh,
        r"(?:,|,? and|,? with) (?:there|the|a|an|some|mild\w*|small\w*|moderate\w*|minimal\w*|large|tiny|trace|slight\w*|persistent|left|right|bilateral|bibasilar|bibasal|patchy|old|chronic|stable|unchanged|status|heart|lungs?|with|mediastin\w+|cardiac|healed|calcified|residual|new|known|prominent|increased|borderline|it|both|multiple|few|several|continued|interval|low|linear|basilar|degenerative|otherwise|bony|osseous|is|are|has|have|in|at|on|over|increasing|worsening|improved|improving|mildly|surgical)",
    ),
];
