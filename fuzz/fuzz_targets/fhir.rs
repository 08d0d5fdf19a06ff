#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| radstream_fuzz::watched(
    radstream_fuzz::Target::Fhir,
    data
));
