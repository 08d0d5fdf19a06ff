//! Names, days and numbers in the ways people write them.

#![allow(clippy::string_slice, reason = "what is cut is ASCII")]

use super::{Chance, Writer};

pub(super) const GIVEN: &[&str] = &[
    "Maria",
    "James",
    "Wei",
    "Aisha",
    "Søren",
    "José",
    "Priya",
    "Dmitri",
    "Ngozi",
    "Hannah",
    "Tomasz",
    "Yuki",
    "Carlos",
    "Fatima",
    "Liam",
    "Grace",
    "Mark",
    "April",
    "Hope",
    "Will",
    "Oluwaseun",
    "Mary-Ann",
    "Jean-Luc",
    "Siobhan",
    "Kareem",
    "Ingrid",
    "Bo",
    "Xiu",
    "Pat",
    "Rose",
];
pub(super) const FAMILY: &[&str] = &[
    "Okonkwo",
    "Smith",
    "Garcia Lopez",
    "Smith-Jones",
    "O'Neil",
    "van der Berg",
    "De la Cruz",
    "McDonald",
    "Müller",
    "Nguyen",
    "Szymanski",
    "Kowalczyk",
    "Al-Hassan",
    "Petrova",
    "Tanaka",
    "Johnson",
    "Fitzgerald",
    "Li",
    "Ng",
    "Wu",
    "Osei",
    "Lindqvist",
    "Abernathy",
    "Castellanos",
    "Brzezinski",
    "Haddad",
    "Mbeki",
    "Yamamoto",
    "Dubois",
    "Ferreira",
];
const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) fn digits(chance: &mut Chance, n: usize) -> String {
    (0..n)
        .map(|i| {
            let low = u64::from(i == 0);
            char::from(b'0' + (low + chance.below(10 - low)) as u8)
        })
        .collect()
}

/// A day in one of the ways that people write days.
pub(super) fn day(chance: &mut Chance, y: u64, m: u64, d: u64) -> String {
    let month = MONTHS[m as usize - 1];
    match chance.below(11) {
        0 => format!("{m:02}/{d:02}/{y}"),
        1 => format!("{m}/{d}/{:02}", y % 100),
        2 => format!("{y}-{m:02}-{d:02}"),
        3 => format!("{month} {d}, {y}"),
        4 => format!("{d} {month} {y}"),
        5 => format!("{d:02}-{}-{y}", &month[..3]),
        6 => format!("{} {d} {y}", &month[..3]),
        7 => format!("{d:02}.{m:02}.{y}"),
        8 => format!("{m:02}-{d:02}-{y}"),
        9 => format!("{month} {d}{}", ordinal(d)),
        _ => format!("the {d}{} of {month} {y}", ordinal(d)),
    }
}

pub(super) fn ordinal(d: u64) -> &'static str {
    match d {
        1 | 21 | 31 => "st",
        2 | 22 => "nd",
        3 | 23 => "rd",
        _ => "th",
    }
}

pub(super) fn any_day(chance: &mut Chance) -> String {
    let (y, m, d) = (2005 + chance.below(20), 1 + chance.below(12), 1 + chance.below(28));
    day(chance, y, m, d)
}

pub(super) fn initial(name: &str) -> char {
    name.chars().next().expect("a name has letters")
}

/// One identifier that the header does not give.
pub(super) fn patterns(c: &mut Chance, w: &mut Writer) {
    let (given, family) = (c.of(GIVEN), c.of(FAMILY));
    let n = |c: &mut Chance, k: usize| digits(c, k);
    match c.below(24) {
        0 | 1 => {
            w.template(c.of(&[
                "Comparison: ",
                "Compared to the study of ",
                "Exam dated ",
                "since ",
            ]));
            let date = any_day(c);
            w.pattern("date", date);
        }
        2 => {
            w.template("Unchanged since ");
            let year = 2000 + c.below(25);
            let month = c.of(MONTHS);
            w.pattern("date", format!("{month} {year}"));
        }
        3 => {
            w.template("Prior film on ");
            let (m, d) = (1 + c.below(12), 13 + c.below(15));
            w.pattern("date", format!("{m}/{d}"));
        }
        4 | 5 => {
            w.template(c.of(&["Call ", "Callback number is ", "Pager ", "Fax: ", "Tel. "]));
            let (a, b, d) = (n(c, 3), n(c, 3), n(c, 4));
            let number = match c.below(4) {
                0 => format!("{a}-{b}-{d}"),
                1 => format!("({a}) {b}-{d}"),
                2 => format!("{a}.{b}.{d}"),
                _ => format!("+1 {a} {b} {d}"),
            };
            w.pattern("phone", number);
        }
        6 => {
            w.template("Images sent to ");
            w.pattern(
                "email",
                format!("{}{}@mail.example.org", initial(given).to_lowercase(), n(c, 2)),
            );
        }
        7 => {
            w.template("See ");
            w.pattern("link", format!("https://pacs.example.com/view?id={}", n(c, 5)));
        }
        8 => {
            w.template("Sent from node ");
            w.pattern("link", format!("10.{}.{}.{}", c.below(256), c.below(256), c.below(256)));
        }
        9 => {
            w.template("SSN ");
            w.pattern("number", format!("{}-{}-{}", n(c, 3), n(c, 2), n(c, 4)));
        }
        10 | 11 => {
            w.template(c.of(&[
                "Account number ",
                "Order # ",
                "Visit ID: ",
                "Old accession ",
                "Encounter no. ",
            ]));
            let number = match c.below(3) {
                0 => n(c, 9),
                1 => format!("{}-{}", n(c, 2), n(c, 6)),
                _ => format!("A{}", n(c, 7)),
            };
            w.pattern("number", number);
        }
        12 => {
            w.template("Pacemaker generator, serial number ");
            w.pattern("device", format!("PJN{}H", n(c, 6)));
        }
        13 => {
            w.template("This is a ");
            w.pattern("age", (90 + c.below(15)).to_string());
            w.template(c.of(&["-year-old patient", " year old woman", " y.o. male", " yo F"]));
        }
        14 => {
            w.template("Lives at ");
            w.pattern(
                "address",
                format!("{} {} Avenue", n(c, 4), c.of(&["Larkspur", "Old Mill", "W. Tupelo"])),
            );
        }
        15 => {
            w.template("Referred from ");
            w.pattern(
                "address",
                format!(
                    "{}, {} {}",
                    c.of(&["Millbrook", "Port Hadley"]),
                    c.of(&["NY", "OH", "WA"]),
                    n(c, 5)
                ),
            );
        }
        16 => {
            w.template("Prior study at ");
            w.pattern(
                "facility",
                format!(
                    "{} {}",
                    c.of(&["Larchmere", "Saint Olaf", "Quail Ridge"]),
                    c.of(&["Hospital", "Medical Center", "Imaging Center"])
                ),
            );
        }
        17 => {
            w.template(c.of(&["Reviewed with Dr. ", "Seen by Dr ", "paged dr. ", "Mr. ", "Ms. "]));
            w.pattern("name", family.to_owned());
        }
        18 => {
            w.template(c.of(&[
                "Signed by ",
                "Electronically signed by: ",
                "Discussed with ",
                "Transcribed by: ",
            ]));
            w.pattern("name", format!("{given} {family}"));
        }
        19 => {
            w.template("Her daughter ");
            w.pattern("name", format!("{given} {family}"));
            w.template(" was told");
        }
        20 => {
            w.template("Attending: ");
            w.pattern("name", format!("{}, {}", family.to_uppercase(), given.to_uppercase()));
        }
        21 => {
            w.template("Read by ");
            w.pattern("name", format!("{given} {family}"));
            w.template(c.of(&[", MD", ", M.D.", " MD", ", RN"]));
        }
        22 => {
            w.template("To be seen on ");
            w.pattern("date", c.of(&["Monday", "Friday", "Tuesday"]).to_owned());
        }
        _ => {
            w.template("discussed with ");
            w.pattern("name", format!("{} {}", given.to_lowercase(), family.to_lowercase()));
            w.template(" at ");
            w.pattern("time", format!("{:02}:{:02}", c.below(24), c.below(60)));
        }
    }
    w.template(". ");
}
