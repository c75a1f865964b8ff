package event

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/events.md anew")

// TestDocs_EveryTypeAndField: docs/events.md lists what there is, with examples that
// are encoded by the code.
func TestDocs_EveryTypeAndField(t *testing.T) {
	const file, begin, end = "../../docs/events.md", "<!-- From here on `go test ./internal/event -update` writes. -->\n", "<!-- Up to here. -->\n"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s lacks the lines %q and %q", file, begin, end)
	}
	want := before + begin + reference(t) + end + after
	if want == string(b) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the code says; run go test ./internal/event -update", file)
	}
	if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reference is the part of the document that follows from the types.
func reference(t *testing.T) string {
	var b strings.Builder
	b.WriteString("\n| type | what happened |\n|---|---|\n")
	for _, info := range Types() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", info.Name, info.Doc)
	}
	b.WriteString("\n### Envelope\n\n")
	fields(&b, reflect.TypeFor[Envelope]())
	// Types whose data are of one struct share a section.
	var order []reflect.Type
	names, first := map[reflect.Type][]string{}, map[reflect.Type]Event{}
	for _, info := range Types() {
		typ := reflect.TypeOf(info.Example.data(Tokens))
		if names[typ] == nil {
			order, first[typ] = append(order, typ), info.Example
		}
		names[typ] = append(names[typ], "`"+info.Name+"`")
	}
	for _, typ := range order {
		fmt.Fprintf(&b, "### %s\n\n", strings.Join(names[typ], ", "))
		fields(&b, typ)
		e := example(first[typ])
		data, err := json.MarshalIndent(e.data(DetailOf(e)), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "```json\n%s\n```\n\n", data)
	}
	b.WriteString("### Flows\n\n")
	fields(&b, reflect.TypeFor[FlowData]())
	return b.String()
}

func fields(b *strings.Builder, typ reflect.Type) {
	b.WriteString("| field | |\n|---|---|\n")
	for f := range typ.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fmt.Fprintf(b, "| `%s` | %s |\n", name, f.Tag.Get("doc"))
	}
	b.WriteString("\n")
}

// example is an event as it might be.
func example(e Event) Event {
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	const aor, binding, id = "sip:alice@example.com", "1f3a5c0d9be84772a1c0ffee12345678", "JRT5VCT2PXHXK3LQQ7CJJ5LFZ4"
	switch e := filled(e, "eF3x-device-token").(type) {
	case Registration:
		e.AOR, e.Binding, e.Contact, e.Received, e.Path = aor, binding, "sip:alice@192.0.2.7:40000;transport=tcp", "", nil
		e.Q, e.UserAgent, e.Methods, e.Instance, e.RegID = 1000, "Phone/1.0", "INVITE, ACK, CANCEL, BYE", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", 1
		e.Cause, e.Provider, e.Param, e.CallID, e.CSeq, e.Latency = "register", "fcm", "example-phone", "a84b4c76e66710", 1, 0
		e.Created, e.Expires, e.Status, e.Reason, e.Attributes, e.MovedTo = at, at.Add(time.Hour), 0, "", nil, ""
		return e
	case RefreshDue:
		e.AOR, e.Binding, e.Provider, e.Param, e.Expires = aor, binding, "fcm", "example-phone", at.Add(2*time.Minute)
		return e
	case PushRequested:
		return PushRequested{PushID: id, AOR: aor, Binding: binding, Provider: "fcm", Param: "example-phone", PushKind: "call", Method: "INVITE", CallID: "a84b4c76e66710", Deadline: at.Add(25 * time.Second)}
	case PushOutcome:
		return PushOutcome{
			PushID: id, AOR: aor, Binding: binding, Provider: "fcm", PushKind: "call", Class: "gone", Reason: "UNREGISTERED", Status: 404, Attempts: 1, Latency: 81500 * time.Microsecond, CallID: "a84b4c76e66710",
			Tries: []Try{{Began: at, Took: 81200 * time.Microsecond, Class: "gone", Reason: "UNREGISTERED", Status: 404}},
		}
	case PushReported:
		return PushReported{PushID: id, AOR: aor, Binding: binding, Result: "gone", Reason: "uninstalled"}
	case Call:
		return Call{
			Step: "parked", Method: "INVITE", CallID: "a84b4c76e66710", From: "sip:bob@example.com", To: aor, AOR: aor, Binding: binding, Elapsed: 400 * time.Microsecond, Asleep: true, Lookup: "push_only", Phones: 1,
			Sleeper: &Sleeper{Provider: "fcm", Deadline: at.Add(25 * time.Second)},
		}
	case Explained:
		return Explained{
			ID: "lc4fqv3k1", AOR: aor, CallID: "a84b4c76e66710", Method: "INVITE", From: "sip:bob@example.com", To: aor, Binding: binding, Provider: "fcm",
			Outcome: "failed", Status: 480, Reason: "Device Did Not Wake", Code: "did_not_wake",
			Said: "The push service took the push, and the phone did not register within 25 s.", Do: "Look at the phone.",
			Began: at, Pushed: 400 * time.Microsecond, Took: 25 * time.Second,
		}
	case AuthFailed:
		e.Method, e.User, e.Realm, e.Reason = "REGISTER", "alice", "example.com", "password"
		return e
	case AdminChange:
		return AdminChange{Who: "helpdesk", Kind: "token", Role: "operate", Remote: "192.0.2.10:51034", Operation: "wake", Target: aor, Status: 200}
	case SourceBanned:
		return SourceBanned{Source: "192.0.2.7", Reason: "authentication", Until: at.Add(time.Hour)}
	default:
		return e
	}
}

// TestDocs_PushSend: the only event with a token is documented with it.
func TestDocs_PushSend(t *testing.T) {
	b, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("`push.send`")) || !bytes.Contains(b, []byte(`"v": 1`)) {
		t.Error("docs/events.md does not show push.send or an envelope")
	}
}
