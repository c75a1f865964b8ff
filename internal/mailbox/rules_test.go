package mailbox

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/sipmsg"
)

// parse makes a MESSAGE of header lines and a body.
func parse(t *testing.T, headers, body string) *sipmsg.Message {
	t.Helper()
	raw := "MESSAGE sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa\r\nMax-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=b\r\nTo: <sip:alice@example.com>\r\nCall-ID: c\r\nCSeq: 1 MESSAGE\r\n" +
		headers + "\r\n" + body
	m, err := sipmsg.Parse([]byte(raw), netip.MustParseAddrPort("192.0.2.9:5060"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestKeepable(t *testing.T) {
	const cpim = "Content-Type: message/CPIM\r\n"
	for _, tt := range []struct {
		name, headers, body string
		want                bool
	}{
		{"text", "Content-Type: text/plain\r\n", "hello", true},
		{"no body", "", "", true},
		{"is typing", "Content-Type: application/im-iscomposing+xml\r\n", "<isComposing/>", false},
		{"is typing, odd case and parameters", "c: Application/IM-isComposing+XML ;charset=utf-8\r\n", "", false},
		{"is typing, inside CPIM", cpim, "From: <sip:a@b>\r\n\r\nContent-Type: application/im-iscomposing+xml\r\n\r\n<isComposing/>", false},
		{"text about typing, inside CPIM", cpim, "From: <sip:a@b>\r\n\r\nContent-Type: text/plain\r\n\r\nContent-Type: application/im-iscomposing+xml", true},
		{"a delivery notice", cpim, "From: <sip:a@b>\r\n\r\nContent-Type: message/imdn+xml\r\n\r\n<imdn/>", true},
		{"CPIM of nothing", cpim, "", true},
		{"now or never", "Expires: 0\r\n", "x", false},
		{"for an hour", "Expires: 3600\r\n", "x", true},
		{"expires when", "Expires: soon\r\n", "x", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Keepable(parse(t, tt.headers, tt.body)); got != tt.want {
				t.Errorf("Keepable() = %t, want %t", got, tt.want)
			}
		})
	}
}

func TestUntil_RFC3428_4(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		name, headers string
		want          time.Duration
	}{
		{"says nothing", "", 24 * time.Hour},
		{"less", "Expires: 60\r\n", time.Minute},
		{"more than may be", "Expires: 4294967295\r\n", 24 * time.Hour},
		{"not readable", "Expires: soon\r\n", 24 * time.Hour},
		{"the sender's clock is wrong", "Expires: 60\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\n", time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Until(parse(t, tt.headers, ""), now, 24*time.Hour).Sub(now); got != tt.want {
				t.Errorf("Until() = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOutcome_RFC3428_7(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []int
		want    Result
		status  int
	}{
		{"no phone", nil, Later, 0},
		{"taken", []int{200}, Delivered, 200},
		{"taken by one", []int{480, 202, 415}, Delivered, 202},
		{"taken, though the user declines", []int{603, 200}, Delivered, 200},
		{"the phone has it", []int{482}, Delivered, 482},
		{"busy", []int{486}, Later, 486},
		{"no answer", []int{408}, Later, 408},
		{"broken", []int{500}, Later, 500},
		{"unavailable", []int{503}, Later, 503},
		{"not able to", []int{501}, Refused, 501},
		{"too large", []int{513}, Refused, 513},
		{"wrong type", []int{415}, Refused, 415},
		{"not acceptable", []int{488}, Refused, 488},
		{"not allowed", []int{405}, Refused, 405},
		{"moved", []int{302}, Refused, 302},
		{"wants credentials", []int{401}, Refused, 401},
		{"one may take it", []int{415, 480}, Later, 480},
		{"one may take it, in the other order", []int{480, 415}, Later, 480},
		{"none will", []int{415, 405}, Refused, 415},
		{"the user declines", []int{480, 603, 500}, Refused, 603},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var o Outcome
			for _, status := range tt.answers {
				o.Answer(status)
			}
			if o.Result != tt.want || o.Status != tt.status {
				t.Errorf("outcome %v by %d, want %v by %d", o.Result, o.Status, tt.want, tt.status)
			}
		})
	}
}

func TestMessage_Encode(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	want := Message{
		// Not all bytes of SIP are UTF-8 (RFC 3261 §7.3.1), and the Call-ID picks the queue
		// on which the phone's answer is waited for.
		AOR: alice, CallID: "c\x00\xff\xfc", From: "sip:b\xfc@example.com", To: "sip:alice@example.com", Kept: at, Until: at.Add(time.Hour),
		Trusted: true, Asserted: "\"J\xfcrgen\" <sip:b@example.com>", Sender: "<sip:b@example.com>;tag=\xfc", Request: []byte("MESSAGE\r\n\x00\xff"),
	}
	b, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeMessage(alice, b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	m := Message{CallID: "c", Request: []byte("x")}
	b, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(alice, b)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			return // A year that JSON has no form for.
		}
		n, err := decodeMessage(alice, again)
		if err != nil || string(n.Request) != string(m.Request) || n.CallID != m.CallID || !n.Until.Equal(m.Until) {
			t.Errorf("%+v became %+v, %v", m, n, err)
		}
	})
}
