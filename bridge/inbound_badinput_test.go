package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

// One route meets every kind of bad input; the second only brings a record that the
// first one waits for.
const badInputRoutes = `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      subjects: [erp.customer]
      start: all
      ack_wait: 5s
      park_after: 100ms
      give_up: 10s
      ambiguity_bound: 0s
      when: type == "com.example.customer"
      revision: data.?revision.orValue(omit())
      writes:
        - when: '!has(data.gone)'
          table: account
          key: {accountnumber: data.id}
          columns:
            name: data.name
            numberofemployees: data.?staff.orValue(omit())
            industrycode: data.?industry.orValue(omit())
            customertypecode: 'has(data.kind) ? optionset(data.kind) : omit()'
            statecode: data.?state.orValue(omit())
            statuscode: data.?status.orValue(omit())
          lookups:
            primarycontactid: {contact: {emailaddress1: data.?contact.orValue(omit())}}
        - when: has(data.gone)
          table: account
          operation: delete
          key: {accountnumber: data.id}
    contacts:
      stream: ERP
      subjects: [erp.contact]
      start: all
      ack_wait: 5s
      table: contact
      key: {emailaddress1: data.email}
      columns: {lastname: data.name}
`

// badInput is a message and what must become of it: an outcome, for a rejected one
// with its reason.
type badInput struct {
	what   string
	header nats.Header
	body   string
	want   string
}

var structured = nats.Header{"Content-Type": {"application/cloudevents+json"}}

// customerEvent is a structured event; attributes come before the data, as JSON members.
func customerEvent(what, want, data string, attributes ...string) badInput {
	body := `{"specversion":"1.0","id":"` + strings.ReplaceAll(what, " ", "-") + `","source":"/test","type":"com.example.customer","subject":"s",` +
		strings.Join(append(attributes, ""), ",") + `"data":` + data + `}`
	return badInput{what, structured, body, want}
}

// record is the data of an event about one customer; more are further members.
func record(id string, more ...string) string {
	return `{"id":` + quoted(id) + "," + strings.Join(append(more, ""), ",") + `"name":` + quoted("name of "+id) + `}`
}

func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r < ' ' || r == '"' || r == '\\' {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
	return b.String()
}

const invalid = "rejected invalid"

// hardKeys are values that have a meaning in URLs, in OData literals or in paths.
var hardKeys = []string{`it's`, `''`, `a)b`, `a,b`, `a/b`, `a?b`, `a#b`, `a%2Fb`, `a%00b`, `..`, `.`, `a+b`, `a&b`, `a\b`, `a*<>:b`, `a=b;c`, `$filter`, `@p1`, "Zürich", "東京", `")(`}

// badInputs are the numbers 60 to 87 of the catalogue of bad input, but for 77, which
// no message can bring about, and 86, which is a matter of the engine.
func badInputs() map[int][]badInput {
	plain := func(what string, h nats.Header, body, want string) badInput { return badInput{what, h, body, want} }
	without := func(name string) badInput {
		b := customerEvent("without "+name, invalid, record("W1"))
		b.body = strings.Replace(b.body, `"`+name+`":`, `"x`+name+`":`, 1)
		return b
	}
	version := func(v string) badInput {
		b := customerEvent("version "+v, invalid, record("V1"))
		b.body = strings.Replace(b.body, `"specversion":"1.0"`, `"specversion":"`+v+`"`, 1)
		return b
	}
	sub := without("subject")
	sub.want = "written"
	binary := func(what, contentType, body, want string, more ...string) badInput {
		h := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {what}, "ce-source": {"/test"}, "ce-type": {"com.example.customer"}, "Content-Type": {contentType}}
		for i := 0; i+1 < len(more); i += 2 {
			h[more[i]] = []string{more[i+1]}
		}
		return badInput{what, h, body, want}
	}
	all := map[int][]badInput{
		60: {
			plain("text", nil, "this is no JSON", invalid), plain("declared as an event", structured, "neither is this", invalid),
			plain("nothing", structured, "", invalid), plain("cut", structured, `{"specversion":"1.0","id":"1"`, invalid),
			plain("not UTF-8", structured, "{\"specversion\":\"1.0\",\"id\":\"\xff\"}", invalid),
		},
		61: {
			plain("JSON that is no event", nil, `{"id":"A1","name":"x"}`, invalid), plain("array", structured, `[]`, invalid), plain("null", structured, `null`, invalid),
			plain("batch", nats.Header{"Content-Type": {"application/cloudevents-batch+json"}}, `[]`, invalid),
			// The content type decides: what the other mode's headers say does not count.
			func() badInput {
				b := customerEvent("both modes", "written", record("BOTH"))
				b.header = nats.Header{"Content-Type": structured["Content-Type"], "ce-specversion": {"1.0"}, "ce-id": {"other"}, "ce-type": {"com.example.other"}, "ce-source": {"/other"}}
				return b
			}(),
		},
		62: {without("id"), without("source"), without("type"), sub},
		63: {version("0.3"), version("2.0"), version("")},
		64: {customerEvent("same id", "written", record("SAMEID", `"staff":1`)), customerEvent("same id", "written", record("SAMEID", `"staff":2`))},
		65: {customerEvent("one", "written", record("SAMEDATA")), customerEvent("two", "written", record("SAMEDATA"))},
		66: {
			customerEvent("empty key", invalid, record("")), customerEvent("null key", invalid, `{"id":null,"name":"x"}`), customerEvent("blank key", invalid, record("  ")),
			customerEvent("no key", invalid, `{"name":"x"}`), customerEvent("object as key", invalid, `{"id":{},"name":"x"}`),
		},
		67: {customerEvent("NUL in the key", invalid, record("a\x00b")), customerEvent("line end in the key", invalid, record("a\r\nb"))},
		68: {customerEvent("long key", invalid, record(strings.Repeat("k", 851))), customerEvent("huge key", invalid, record(strings.Repeat("k", 32<<10)))},
		69: {
			customerEvent("lower case", "written", record("fold", `"staff":1`)), customerEvent("upper case and blanks", "written", record("FOLD  ", `"staff":2`)),
			customerEvent("composed", "written", record("caf\u00e9")), customerEvent("decomposed", "written", record("cafe\u0301")),
		},
		70: {customerEvent("protocol members", "written", record("PROTO", `"primarycontactid@odata.bind":"/contacts(1)"`, `"@odata.type":"#x"`, `"$ref":"x"`, `"__proto__":{"a":1}`))},
		71: {customerEvent("key in the body", "written", record("INURL", `"accountnumber":"INBODY"`))},
		72: {customerEvent("columns of the server", "written", record("SERVER", `"createdon":"1999-01-01T00:00:00Z"`, `"versionnumber":1`, `"accountid":"00000000-0000-0000-0000-000000000001"`, `"nonsense":1`))},
		73: {customerEvent("owner and state", "written", record("ESCALATE", `"ownerid":"00000000-0000-0000-0000-000000000001"`, `"statecode":1`))},
		74: {customerEvent("state and status that do not fit", invalid, record("PAIR", `"state":0`, `"status":2`)), customerEvent("no such state", invalid, record("PAIR", `"state":7`))},
		75: {
			customerEvent("too long", invalid, `{"id":"LONG","name":"`+strings.Repeat("x", 161)+`"}`), customerEvent("below the range", invalid, record("RANGE", `"staff":-1`)),
			customerEvent("above the range", invalid, record("RANGE", `"staff":1e300`)), customerEvent("fraction", invalid, record("RANGE", `"staff":1.5`)),
			customerEvent("text as number", invalid, record("TYPE", `"staff":"7"`)), customerEvent("object as text", invalid, `{"id":"TYPE","name":{}}`),
			customerEvent("no such option", invalid, record("OPTION", `"industry":9999`)), customerEvent("no such label", invalid, record("OPTION", `"kind":"Nobody"`)),
		},
		76: {customerEvent("comes later", "written", record("LATER", `"contact":"late@contoso.com"`)), customerEvent("never comes", "rejected missing_reference", record("NEVER", `"contact":"never@contoso.com"`))},
		78: {
			customerEvent("a mebibyte", "written", record("BIG", `"more":"`+strings.Repeat("x", 1<<20)+`"`)), customerEvent("a hundred thousand fields", "written", record("WIDE", manyFields(100_000))),
			customerEvent("deep", invalid, record("DEEP", `"more":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000))),
		},
		79: {
			customerEvent("far future", "written", record("T1"), `"time":"9999-12-31T23:59:59Z"`), customerEvent("far past", "written", record("T2"), `"time":"0001-01-01T00:00:00Z"`),
			customerEvent("no time at all", invalid, record("T3"), `"time":"yesterday"`), customerEvent("expired", "rejected expired", record("T4"), `"expirytime":"2001-01-01T00:00:00Z"`),
			customerEvent("expiry that is no time", invalid, record("T5"), `"expirytime":"soon"`),
		},
		80: {func() badInput {
			b := customerEvent("unknown type", "unmatched", record("U1"))
			b.body = strings.Replace(b.body, "com.example.customer", "com.example.unheard.of", 1)
			return b
		}()},
		81: {
			binary("line end in a header", "application/json", record("H1"), invalid, "ce-subject", "a%0D%0AX-Injected: 1"),
			// Headers with which the server steers a publish must not steer that of the letter.
			plain("reserved headers", nats.Header{"Nats-Expected-Stream": {"ERP"}, "Nats-Msg-Id": {"x"}, "Nats-Rollup-Of": {"sub"}, "Crm-Dead-Reason": {"forged"}, "Crm-Retry-Of": {"forged"}}, "no event", invalid),
			plain("long header", nats.Header{"X-Long": {strings.Repeat("h", 48<<10)}}, "no event", invalid),
			binary("odd names", "application/json", record("H2"), "written", "ce-Traceparent", "%%%"),
		},
		82: {func() badInput {
			b := customerEvent("an event of our own", "unmatched", `{"record":{"accountid":"00000000-0000-0000-0000-000000000001","name":"x"}}`)
			b.body = strings.Replace(b.body, "com.example.customer", "com.contoso.crm.account.updated", 1)
			return b
		}()},
		83: {binary("attachment", "application/pdf", "%PDF-1.7\n\x00\x01\xff", invalid), customerEvent("data in base64", invalid, `null,"data_base64":"JVBERi0xLjcK"`)},
		84: {customerEvent("delete for unknown", "written", `{"id":"UNKNOWN","gone":true}`)},
		85: {
			customerEvent("made", "written", record("GONE", `"revision":4`)), customerEvent("deleted", "written", `{"id":"GONE","gone":true,"revision":6}`),
			customerEvent("stale update", "superseded", record("GONE", `"revision":5`)),
		},
		87: {
			customerEvent("formula", "written", `{"id":"FORMULA","name":"=cmd|' /C calc'!A0"}`), customerEvent("script", "written", `{"id":"SCRIPT","name":"<script>alert(1)</script>"}`),
			customerEvent("terminal", invalid, `{"id":"TERM","name":"x","staff":"\u001b[2J=1+1"}`),
		},
	}
	for _, key := range hardKeys {
		all[67] = append(all[67], customerEvent("key "+fmt.Sprintf("%x", key), "written", record(key)))
	}
	return all
}

// parked counts the messages that wait in the dead-letter stream, without the fences.
func (r *rig) parked() (n uint64) {
	r.t.Helper()
	s, err := r.js.Stream(r.ctx, "CRM_CONTOSO_DEAD")
	if err != nil {
		r.t.Fatal(err)
	}
	info, err := s.Info(r.ctx, jetstream.WithSubjectFilter("crm-parked.*.*.*.*.*"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, count := range info.State.Subjects {
		n += count
	}
	return n
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"f%d":%d,`, i, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// After each bad message comes a good one. In the end all of them are acknowledged,
// each good one is written, and each refused one lies in the dead letters with its
// reason, and nothing else does.
func TestNoBadInputStopsARouteOrStaysUnacknowledged(t *testing.T) {
	t.Parallel()
	r := newRig(t, badInputRoutes, func(s *sim.Server) {
		if _, err := s.Insert("contact", map[string]any{"emailaddress1": "here@contoso.com", "lastname": "Here"}); err != nil {
			t.Fatal(err)
		}
	})
	type expected struct {
		number     int
		what, want string
	}
	expect := map[uint64]expected{}
	seq, good := uint64(0), []string{}
	send := func(number int, b badInput) {
		r.raw("erp.customer", b.header, []byte(b.body))
		seq++
		expect[seq] = expected{number, b.what, b.want}
	}
	inputs := badInputs()
	for number := 60; number <= 87; number++ {
		if number == 77 { // what 76 waits for: soon enough for the one, and nothing for the other
			r.until("two messages are parked", func() bool { return r.parked() >= 2 })
			r.send("erp.contact", "com.example.contact", "late", map[string]any{"email": "late@contoso.com", "name": "Late"})
			seq++
			expect[seq] = expected{76, "the record that one waits for", "written"}
		}
		for i, b := range inputs[number] {
			send(number, b)
			key := fmt.Sprintf("GOOD%d-%d", number, i)
			good = append(good, key)
			send(number, customerEvent("good", "written", record(key, `"contact":"here@contoso.com"`)))
		}
	}

	for range len(expect) {
		s := r.next()
		e := expect[s.Message.Sequence]
		got := s.Outcome
		if s.Outcome == "rejected" {
			got += " " + string(s.Err.Reason)
		}
		if got != e.want {
			t.Errorf("%d, %s: %s, want %s (%v)", e.number, e.what, got, e.want, s.Err)
		}
	}
	r.settledUpTo(seq)

	letters := map[uint64]string{}
	for _, l := range r.letters(r.operator(badInputRoutes), bridge.LetterFilter{}) {
		letters[l.Source.Sequence] += l.State + " " + l.Reason
		if l.Text == "" || l.Source.Stream != "ERP" || l.Source.Subject != "erp.customer" {
			t.Errorf("the letter of message %d tells too little: %+v", l.Source.Sequence, l)
		}
	}
	for seq, e := range expect {
		want := ""
		if reason, ok := strings.CutPrefix(e.want, "rejected "); ok {
			want = "dead " + reason
		}
		if letters[seq] != want {
			t.Errorf("%d, %s: its letter is %q, want %q", e.number, e.what, letters[seq], want)
		}
	}
	for _, st := range r.bridge.Status().Routes {
		// Ready: a machine that stood still for longer than the pin holds is nobody's active client.
		if st.State != "running" && st.State != "ready" || st.InFlight != 0 {
			t.Errorf("route %s: %+v", st.Route, st)
		}
	}
	account := func(key string) map[string]any {
		t.Helper()
		id, ok := r.sim.FindByKey("account", map[string]any{"accountnumber": key})
		if !ok {
			t.Errorf("there is no account %q", key)
			return nil
		}
		return row(t, r.sim, "account", id)
	}
	for _, key := range good {
		account(key)
	}
	for _, key := range hardKeys {
		if a := account(key); a != nil && (a["accountnumber"] != key || a["name"] != "name of "+key) {
			t.Errorf("account %q is %v, %v", key, a["accountnumber"], a["name"])
		}
	}
	for key, want := range map[string]map[string]string{
		"SAMEID":   {"numberofemployees": "2"},
		"fold":     {"numberofemployees": "2"},
		"PROTO":    {"_primarycontactid_value": "<nil>"},
		"INURL":    {"accountnumber": "INURL"},
		"ESCALATE": {"statecode": "0"},
		"FORMULA":  {"name": "=cmd|' /C calc'!A0"},
		"SCRIPT":   {"name": "<script>alert(1)</script>"},
	} {
		a := account(key)
		for column, value := range want {
			if got := fmt.Sprint(a[column]); got != value {
				t.Errorf("%s: %s is %s, want %s", key, column, got, value)
			}
		}
	}
	if a := account("SERVER"); fmt.Sprint(a["createdon"]) < fmt.Sprint(time.Now().Year()) || a["accountid"] == "00000000-0000-0000-0000-000000000001" {
		t.Errorf("the message set what the server maintains: %v", a)
	}
	if a, b := account("ESCALATE"), account("PROTO"); a["_ownerid_value"] != b["_ownerid_value"] {
		t.Errorf("the message chose an owner: %v", a["_ownerid_value"])
	}
	for _, key := range []string{"GONE", "INBODY", "UNKNOWN"} {
		if _, ok := r.sim.FindByKey("account", map[string]any{"accountnumber": key}); ok {
			t.Errorf("there is an account %s", key)
		}
	}
}
