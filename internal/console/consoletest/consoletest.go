// Package consoletest is a server that is not there: what a console shows of it looks
// like an afternoon of an operator's. Tests use it, and the pictures in the
// documentation are taken of it.
package consoletest

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"reveille/internal/admin"
	"reveille/internal/console"
	"reveille/internal/event"
	"reveille/internal/timeline"
)

// Noon is the time at which the pictures are taken.
func Noon() time.Time { return time.Date(2026, 11, 22, 14, 32, 10, 0, time.UTC) }

// The tokens of Server.
const (
	ReadToken    = "read-token-of-the-help-desk"
	OperateToken = "operate-token-of-the-night-shift"
	AdminToken   = "admin-token-of-erin"
	// EventsToken is one that is not for people.
	EventsToken = "token-of-a-program-that-reads-events"
)

// A Server is what a console is made for. It is safe for concurrent use.
type Server struct {
	now func() time.Time

	mu       sync.Mutex // guards the fields below
	bindings map[string][]admin.Binding
	waiting  []timeline.Waiting
	records  []timeline.Record // the latest first
	banned   []admin.Ban
	changes  []admin.Change
	events   []console.Event
	health   console.Health
	roles    map[string]admin.Role // by token
	empty    bool
}

// New returns a Server with an afternoon behind it, as seen at the time that now
// returns.
func New(now func() time.Time) *Server {
	s := &Server{now: now, bindings: map[string][]admin.Binding{}, roles: map[string]admin.Role{
		ReadToken: admin.Read, OperateToken: admin.Operate, AdminToken: admin.Admin, EventsToken: 0,
	}}
	t := now()
	s.register(t)
	s.call(t)
	s.rest(t)
	return s
}

// NewEmpty returns a Server that has just started.
func NewEmpty(now func() time.Time) *Server {
	s := New(now)
	return &Server{now: now, roles: s.roles, empty: true}
}

// Source is what a console of the Server shows.
func (s *Server) Source() console.Source {
	return console.Source{
		State: s.state, Counts: s.counts, Hour: s.hour, Waiting: s.listWaiting, Calls: s.calls, Call: s.callByID, Users: s.users, User: s.user, Why: s.why,
		Pushes: &admin.Pushes{Test: s.test, Wake: s.wake, Lanes: s.lanes}, Drop: s.drop,
		Bans:     &admin.Bans{List: func() []admin.Ban { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(s.banned) }, Lift: s.lift},
		Messages: &admin.Messages{List: s.messages}, Configuration: func() (string, error) { return configuration, nil },
		Events: s.listEvents, Audit: s.audit, Audited: s.audited,
	}
}

// Token implements console.Door.
func (s *Server) Token(_ *http.Request, token string) (admin.Principal, error) {
	if p, ok := s.Known(token); ok {
		return p, nil
	}
	if strings.HasPrefix(token, "locked") {
		return admin.Principal{}, &admin.Locked{For: 5500 * time.Millisecond}
	}
	return admin.Principal{}, errors.New("the token is wrong")
}

// Known implements console.Door.
func (s *Server) Known(token string) (admin.Principal, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	role, ok := s.roles[token]
	names := map[string]string{ReadToken: "help-desk", OperateToken: "night-shift", AdminToken: "erin", EventsToken: "events.bearer"}
	return admin.Principal{Kind: admin.KindToken, Name: names[token], Role: role}, ok
}

// Certificate implements console.Door: the header field X-Test-Certificate stands for
// one.
func (s *Server) Certificate(r *http.Request) (admin.Principal, bool) {
	name := r.Header.Get("X-Test-Certificate")
	return admin.Principal{Kind: admin.KindCertificate, Name: name, Role: admin.Operate}, name != ""
}

// Revoke takes a token out of the configuration.
func (s *Server) Revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.roles, token)
}

// SetHealth says how the server is from now on.
func (s *Server) SetHealth(h console.Health) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health = h
}

// Park has a call wait for a phone; Unpark ends that.
func (s *Server) Park(w timeline.Waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, w)
}

// Unpark ends what Park began.
func (s *Server) Unpark(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(w timeline.Waiting) bool { return w.ID == id })
}

// Add puts a registration and a record there, whoever wrote what is in them.
func (s *Server) Add(aor string, b admin.Binding, r timeline.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bindings[aor] = append(s.bindings[aor], b)
	s.records = slices.Insert(s.records, 0, r)
}

// Bindings returns those of a user.
func (s *Server) Bindings(aor string) []admin.Binding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bindings[aor])
}

func (s *Server) state() console.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return console.State{Version: "1.0.0", Node: 1, Started: s.now().Add(-(9*24 + 5) * time.Hour), Health: s.health}
}

func (s *Server) counts(context.Context) (console.Counts, error) {
	if s.empty {
		return console.Counts{}, nil
	}
	return console.Counts{Users: 11873, Awake: 1204, Asleep: 11021, Dormant: 255}, nil
}

func (s *Server) listWaiting() []timeline.Waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.waiting)
}

func (s *Server) calls(f console.CallFilter) (found []timeline.Summary, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	past := f.Before == ""
	for _, r := range s.records {
		if !past {
			past = r.ID == f.Before
			continue
		}
		if f.AOR != "" && r.AOR != f.AOR || f.CallID != "" && r.CallID != f.CallID || f.Outcome != "" && r.Outcome != f.Outcome && r.State != f.Outcome {
			continue
		}
		if len(found) == f.Limit {
			return found, true
		}
		found = append(found, r.Summary)
	}
	return found, false
}

func (s *Server) callByID(id string) (timeline.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.ID == id {
			return r, true
		}
	}
	return timeline.Record{}, false
}

func (s *Server) users(_ context.Context, q console.UserQuery) (p console.UserPage, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var aors []string
	for aor := range s.bindings {
		if strings.Contains(aor, q.Part) && aor > q.After {
			aors = append(aors, aor)
		}
	}
	slices.Sort(aors)
	for _, aor := range aors {
		if len(p.Users) == q.Limit {
			p.Next = p.Users[len(p.Users)-1].AOR
			break
		}
		u := console.User{AOR: aor}
		for _, b := range s.bindings[aor] {
			switch {
			case b.State == admin.StateDormant:
				u.Dormant++
			case b.Awake:
				u.Awake++
			default:
				u.Asleep++
			}
			if b.Updated.After(u.Updated) {
				u.Updated = b.Updated
			}
		}
		p.Users = append(p.Users, u)
	}
	return p, nil
}

func (s *Server) user(_ context.Context, aor string) (admin.BindingList, error) {
	if !strings.HasSuffix(aor, "@example.com") {
		return admin.BindingList{}, admin.ErrNoUser
	}
	return admin.BindingList{User: aor, Bindings: s.Bindings(aor)}, nil
}

func (s *Server) drop(_ context.Context, aor, binding string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.bindings[aor])
	s.bindings[aor] = slices.DeleteFunc(s.bindings[aor], func(b admin.Binding) bool { return b.ID == binding })
	if len(s.bindings[aor]) == n {
		return console.ErrGone
	}
	return nil
}

func (s *Server) lift(addr netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.banned)
	s.banned = slices.DeleteFunc(s.banned, func(b admin.Ban) bool {
		banned, err := admin.ParseSource(b.Source)
		return err == nil && banned == addr
	})
	return len(s.banned) < n
}

func (s *Server) test(_ context.Context, t admin.PushTest) ([]admin.PushResult, error) {
	var rs []admin.PushResult
	for _, b := range s.Bindings(t.AOR) {
		if b.Provider != "" {
			rs = append(rs, pushed(t.AOR, b))
		}
	}
	if len(rs) == 0 {
		return nil, admin.ErrNoPhone
	}
	return rs, nil
}

func (s *Server) wake(ctx context.Context, o admin.WakeOrder) ([]admin.WakeResult, error) {
	rs, err := s.test(ctx, admin.PushTest{AOR: o.AOR})
	var woken []admin.WakeResult
	for i, r := range rs {
		woken = append(woken, admin.WakeResult{PushResult: r, Registered: true, RegisteredMS: int64(2140 + 830*i)})
	}
	return woken, err
}

func pushed(aor string, b admin.Binding) admin.PushResult {
	return admin.PushResult{
		AOR: aor, Binding: b.ID, UserAgent: b.UserAgent, Provider: b.Provider, Kind: "call", Class: "ok", Status: 200, Attempts: 1, ElapsedMS: 118,
		Said: "the push service took the push",
	}
}

func (s *Server) listEvents(f event.Filter, limit int) (found []console.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if f.Matches(e.Type, e.AOR) && len(found) < limit {
			found = append(found, e)
		}
	}
	return found
}

func (s *Server) audit(limit int) []admin.Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.changes[:min(limit, len(s.changes))])
}

func (s *Server) audited(c admin.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = slices.Insert(s.changes, 0, c)
}

// why is a simple one: that of the last request that failed.
func (s *Server) why(_ context.Context, aor string) (timeline.Verdict, error) {
	if len(s.Bindings(aor)) == 0 {
		return timeline.Verdict{
			Code: "no_binding", Said: "No phone of this user is registered.", Do: "Open the app on the phone. If it does not register, look for its REGISTER among the events.",
		}, nil
	}
	calls, _ := s.calls(console.CallFilter{AOR: aor, Limit: 1})
	if len(calls) > 0 && calls[0].Outcome == timeline.OutcomeFailed && calls[0].Verdict != nil {
		v := *calls[0].Verdict
		v.Said = "The last call did not ring: " + strings.ToLower(v.Said[:1]) + v.Said[1:]
		return v, nil
	}
	return timeline.Verdict{Code: "ok", Said: "Nothing is wrong: the phones wake when they are called."}, nil
}
