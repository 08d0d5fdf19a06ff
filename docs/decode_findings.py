# kcat -C -b localhost:9092 -t radiology.findings -e -q -f '%R%s' | python3 docs/decode_findings.py schemas/findings_event.avsc
import io, json, struct, sys, fastavro
schema = fastavro.schema.load_schema(sys.argv[1])
form = fastavro.schema.to_parsing_canonical_form(schema)
header = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(form, "CRC-64-AVRO"))
while size := sys.stdin.buffer.read(4):  # %R: length of the value, 4 bytes, big-endian, -1 for null
    value = sys.stdin.buffer.read(max(0, struct.unpack(">i", size)[0]))
    if not value.startswith(header): sys.exit("not a finding, or written with another schema")
    print(json.dumps(fastavro.schemaless_reader(io.BytesIO(value[10:]), schema), default=str))
