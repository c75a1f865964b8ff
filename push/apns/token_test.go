package apns

import (
	"testing"

	"reveille/push"
	"reveille/push/pushsim"
)

// TestToken_IsSharedByKey: a Sender that replaces another, or serves another app
// of the team, goes on with the token that APNs has seen.
func TestToken_IsSharedByKey(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	p8 := sim.Credentials().KeyP8()
	first := newSender(t, sim)
	tok := first.Token()
	if !tok.Is(p8, pushsim.KeyID, pushsim.TeamID) || tok.Is(p8, "OTHERKEY00", pushsim.TeamID) || tok.Is(p8[1:], pushsim.KeyID, pushsim.TeamID) ||
		(*Token)(nil).Is(p8, pushsim.KeyID, pushsim.TeamID) {
		t.Error("Is does not tell the key from others")
	}
	second, err := New(Options{Token: tok, Host: sim.URL(), RootCAs: sim.RootCAs(), Template: `{"kind": "{{.Kind}}"}`})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	bearer := tok.token.GenerateIfExpired()
	for _, s := range []*Sender{first, second} {
		if o := s.Send(t.Context(), request(push.Call, both()...)); o.Class != push.OK {
			t.Errorf("outcome = %+v, want ok", o)
		}
		if got := s.client.Token.Bearer; got != bearer {
			t.Error("a sender has a token of its own")
		}
	}
}
