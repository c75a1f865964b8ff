package locationdb

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/usrloc"
)

const alice usrloc.AOR = "sip:alice@example.com"

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.FixedZone("", 3600))

func phone() *usrloc.Binding {
	return &usrloc.Binding{
		ID:      usrloc.BindingID{1, 2, 3},
		Contact: "sip:alice@192.0.2.1:5060;transport=tcp;pn-provider=apns;pn-param=T.app.voip;pn-prid=hush;ob",
		Q:       usrloc.QUnset, CallID: "call", CSeq: 7, Updated: noon, Expires: noon.Add(time.Hour),
		Flow:      flow.Flow{Transport: flow.TCP, Listener: "main", Remote: netip.MustParseAddrPort("198.51.100.1:4711"), Conn: 3},
		UserAgent: "phone/1", Methods: usrloc.MethodInvite | usrloc.MethodMessage | usrloc.MethodOther,
		Instance: "urn:uuid:1", RegID: 1,
		Push: usrloc.Push{Provider: "apns", Param: "T.app.voip", PRID: "hush"},
	}
}

func TestRow(t *testing.T) {
	tr := translation{node: 4, socket: func(f flow.Flow) string { return "tcp:192.0.2.9:5060" }}
	got, ok := tr.row(alice, phone())
	want := []any{
		"01020300000000000000000000000000", "alice", "example.com", "sip:alice@192.0.2.1:5060;transport=tcp;ob",
		"sip:198.51.100.1:4711;transport=tcp", nil, "2026-11-22 12:00:00", -1.0, "call", int32(7), "2026-11-22 11:00:00",
		"phone/1", "tcp:192.0.2.9:5060", 1 | 1<<8 | 1<<19, "<urn:uuid:1>", int32(1), int32(4),
	}
	if d := cmp.Diff(want, got); d != "" || !ok {
		t.Errorf("row, %t (-want +got):\n%s", ok, d)
	}
	if n := len(strings.Split(columns, ",")); n != columnCount || n != len(got) {
		t.Errorf("%d columns, %d values", n, len(got))
	}
	b := phone()
	b.Flow.Transport, b.Q, b.Methods, b.Instance = flow.UDP, 500, 0, ""
	bare := translation{pushParams: true}
	got, _ = bare.row("sip:example.com", b)
	want = []any{
		want[0], "", "example.com", b.Contact, "sip:198.51.100.1:4711", nil, want[6], 0.5, "call", int32(7), want[10],
		"phone/1", nil, nil, "", int32(1), int32(0),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("row (-want +got):\n%s", d)
	}
}

// TestRow_Secrets_RFC8599_13: the parameters that wake the phone stay here.
func TestRow_Secrets_RFC8599_13(t *testing.T) {
	values, _ := new(translation).row(alice, phone())
	for _, v := range values {
		if s, ok := v.(string); ok && strings.Contains(s, "hush") {
			t.Errorf("a row holds the PRID: %q", s)
		}
	}
}

// TestRow_Fits: what the table cannot hold is cut where that does no harm, and
// not written where it does.
func TestRow_Fits(t *testing.T) {
	long := strings.Repeat("x", 1000)
	tests := []struct {
		name   string
		aor    usrloc.AOR
		change func(*usrloc.Binding)
		ok     bool
	}{
		{"user", usrloc.AOR("sip:" + long + "@example.com"), nil, false},
		{"domain", usrloc.AOR("sip:alice@" + long), nil, false},
		{"contact", alice, func(b *usrloc.Binding) { b.Contact = "sip:" + long + "@192.0.2.1" }, false},
		{"no UTF-8", alice, func(b *usrloc.Binding) { b.Contact = "sip:\xff@192.0.2.1" }, false},
		{"path", alice, func(b *usrloc.Binding) { b.Path = []string{"<sip:" + long + ";lr>"} }, false},
		{"path that fits", alice, func(b *usrloc.Binding) { b.Path = []string{"<sip:a;lr>", "<sip:b;lr>"} }, true},
		{"texts", alice, func(b *usrloc.Binding) {
			b.CallID, b.UserAgent, b.Instance = long+"\x00\xff", strings.Repeat("ä", 300)+"\xff", long
			b.CSeq, b.RegID = 1<<32-1, 1<<32-1
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := phone()
			if tt.change != nil {
				tt.change(b)
			}
			values, ok := new(translation).row(tt.aor, b)
			if ok != tt.ok {
				t.Fatalf("ok = %t", ok)
			}
			for _, v := range values {
				if s, is := v.(string); is && (strings.ContainsRune(s, 0) || len([]rune(s)) > 512 || strings.ToValidUTF8(s, "") != s) {
					t.Errorf("value %q", s)
				}
			}
		})
	}
}

// TestRow_Received: behind an edge proxy our flow is that of the proxy.
func TestRow_Received(t *testing.T) {
	b := phone()
	b.Path = []string{"<sip:edge;lr>"}
	if got := received(b); got != "" {
		t.Errorf("received = %q", got)
	}
	if b.Received = "sip:203.0.113.1:1"; received(b) != b.Received {
		t.Errorf("received = %q", received(b))
	}
}
