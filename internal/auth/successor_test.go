package auth

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/sipmsg"
)

func TestSuccessor_GoesOn(t *testing.T) {
	reg := prometheus.NewRegistry()
	limit := LimitOptions{Rate: 0.1, Burst: 1}
	old, _ := newAuth(t, func(o *Options) { o.Registerer, o.Failures = reg, limit })
	users, err := NewUsers("example.com", []Account{{Name: "alice", Password: "changed"}})
	if err != nil {
		t.Fatal(err)
	}
	o := old.o
	o.Source = users
	next, err := old.Successor(o)
	if err != nil {
		t.Fatal(err)
	}
	first := old.Check(t.Context(), register(t), phone, Registrar, noon)
	use := func(password string, count int) *sipmsg.Message {
		return register(t, login{user: "alice", password: password, count: count}.answer(t, first))
	}
	// A challenge that the old one sent is answered to the new one.
	wantDecision(t, next.Check(t.Context(), use("changed", 1), phone, Registrar, noon), Allowed, ReasonUser, 0)
	// What one took, the other does not take again.
	wantDecision(t, old.Check(t.Context(), use("secret", 1), phone, Registrar, noon), Challenged, ReasonReplayed, 401)
	// Failures count for both.
	wantDecision(t, next.Check(t.Context(), use("secret", 2), phone, Registrar, noon), Challenged, ReasonPassword, 401)
	wantDecision(t, old.Check(t.Context(), use("secret", 2), phone, Registrar, noon), Refused, ReasonLimited, 480)
	if got := testutil.ToFloat64(old.metrics.decisions[Registrar][ReasonUser]); got != 1 {
		t.Errorf("%v users were counted, want 1", got)
	}
}

func TestSuccessor_NewOptionsHold(t *testing.T) {
	old, _ := newAuth(t, func(o *Options) { o.Failures = LimitOptions{Rate: 0.1, Burst: 1} })
	o := old.o
	o.NonceTTL, o.Failures, o.Algorithms = time.Second, LimitOptions{}, []Algorithm{MD5}
	next, err := old.Successor(o)
	if err != nil {
		t.Fatal(err)
	}
	first := next.Check(t.Context(), register(t), phone, Registrar, noon)
	if len(first.Reply.Headers) != 1 {
		t.Errorf("challenges: %v, want MD5 alone", first.Reply.Headers)
	}
	right := register(t, login{user: "alice", password: "secret", alg: MD5}.answer(t, first))
	wantDecision(t, next.Check(t.Context(), right, phone, Registrar, noon.Add(time.Second)), Challenged, ReasonStale, 401)
	wrong := register(t, login{user: "alice", password: "guess", alg: MD5}.answer(t, first))
	for range 3 {
		wantDecision(t, next.Check(t.Context(), wrong, phone, Registrar, noon), Challenged, ReasonPassword, 401)
	}
	o.Realm = ""
	if _, err := old.Successor(o); err == nil {
		t.Error("Successor() without a realm = nil")
	}
}
