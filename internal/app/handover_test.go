package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/event"
	"reveille/push"
)

// heard keeps events.
type heard []event.Event

func (h *heard) Emit(e event.Event) { *h = append(*h, e) }

// TestHandover_CarriesAllThatAPushNeeds: a program that sends Web Pushes encrypts with
// the keys of the subscription (RFC 8291).
func TestHandover_CarriesAllThatAPushNeeds(t *testing.T) {
	var got heard
	h := &handover{app: "own", sink: &got}
	deadline := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	r := &push.Request{
		Binding: [16]byte{1}, AOR: "sip:a@example.com", Params: push.Params{Provider: "webpush", Param: "x"},
		Tokens: []push.Token{{PRID: "voip", Use: push.VoIP}, {PRID: "remote", Use: push.Remote}}, Keys: push.SubscriptionKeys{P256DH: "point", Auth: "auth"},
		Kind: push.Call, Method: "INVITE", CallID: "c", PushID: "id", Deadline: deadline, Data: map[string]string{"caller_name": "Bob"},
	}
	if o := h.Send(t.Context(), r); o.Class != push.OK {
		t.Errorf("Send = %+v", o)
	}
	want := heard{event.PushSend{
		PushID: "id", AOR: "sip:a@example.com", Binding: "01000000000000000000000000000000", App: "own", Provider: "webpush", Param: "x",
		PushKind: "call", Method: "INVITE", CallID: "c", Token: "voip", P256DH: "point", Auth: "auth", Extra: map[string]string{"caller_name": "Bob"}, Deadline: deadline,
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	r.Tokens = r.Tokens[1:]
	if o := h.Send(t.Context(), r); o.Class != push.Forbidden || len(got) != 1 {
		t.Errorf("without a token for calls: %+v, %d events", o, len(got))
	}
}
