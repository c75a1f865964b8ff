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
	"reveille/internal/contacts"
	"reveille/internal/event"
	"reveille/internal/timeline"
	"reveille/internal/why"
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
	bindings map[string][]contacts.Contact
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
	s := &Server{now: now, bindings: map[string][]contacts.Contact{}, roles: map[string]admin.Role{
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
		State: s.state, Counts: s.counts, Users: s.users, User: s.user,
		Timeline: &admin.Timeline{Hour: s.hour, Parked: s.listWaiting, Calls: s.calls, Call: s.callByID, Why: s.why},
		Pushes:   &admin.Pushes{Test: s.test, Wake: s.wake, Lanes: s.lanes}, Drop: s.drop,
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

// Locked implements console.Door: nobody is.
func (s *Server) Locked(*http.Request) error { return nil }

// Failed implements console.Door.
func (s *Server) Failed(*http.Request) {}

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
func (s *Server) Add(aor string, b contacts.Contact, r timeline.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bindings[aor] = append(s.bindings[aor], b)
	s.records = slices.Insert(s.records, 0, r)
}

// Bindings returns those of a user.
func (s *Server) Bindings(aor string) []contacts.Contact {
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

func (s *Server) listWaiting(limit int) (list []timeline.Waiting, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.waiting[:min(limit, len(s.waiting))]), len(s.waiting)
}

func (s *Server) calls(f timeline.Query) (found []timeline.Summary, more bool, err error) {
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
			return found, true, nil
		}
		found = append(found, r.Summary)
	}
	return found, false, nil
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

func (s *Server) users(_ context.Context, part string, p contacts.Page) (l contacts.UserList, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var aors []string
	for aor := range s.bindings {
		if strings.Contains(aor, part) && aor > p.After {
			aors = append(aors, aor)
		}
	}
	slices.Sort(aors)
	for _, aor := range aors {
		if len(l.Users) == p.Limit {
			l.Next = l.Users[len(l.Users)-1].AOR
			break
		}
		u := contacts.UserSummary{AOR: aor}
		for _, b := range s.bindings[aor] {
			switch b.State {
			case contacts.Dormant:
				u.Dormant++
			case contacts.Awake:
				u.Awake++
			default:
				u.Asleep++
			}
			if b.Modified.After(u.Modified) {
				u.Modified = b.Modified
			}
		}
		l.Users = append(l.Users, u)
	}
	return l, nil
}

func (s *Server) user(_ context.Context, aor string) (contacts.UserContacts, error) {
	if !strings.HasSuffix(aor, "@example.com") {
		return contacts.UserContacts{}, contacts.ErrNoUser
	}
	return contacts.UserContacts{AOR: aor, Contacts: s.Bindings(aor)}, nil
}

func (s *Server) drop(_ context.Context, binding string) (contacts.Contact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for aor, list := range s.bindings {
		for i, b := range list {
			if b.ID == binding {
				b.AOR = aor
				s.bindings[aor] = slices.Delete(slices.Clone(list), i, i+1)
				return b, nil
			}
		}
	}
	return contacts.Contact{}, contacts.ErrNotRegistered
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

func pushed(aor string, b contacts.Contact) admin.PushResult {
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

// why is a simple one: that of the last request.
func (s *Server) why(_ context.Context, aor string, _ int) (why.Report, error) {
	if len(s.Bindings(aor)) == 0 {
		return why.Report{AOR: aor, Verdict: timeline.Verdict{
			Code: "no_binding", Said: "No phone of this user is registered.", Do: "Open the app on the phone. If it does not register, look for its REGISTER among the events.",
		}}, nil
	}
	calls, _, err := s.calls(timeline.Query{AOR: aor, Limit: 1})
	if len(calls) > 0 && calls[0].Outcome == timeline.OutcomeFailed && calls[0].Verdict != nil {
		return why.Report{AOR: aor, Verdict: *calls[0].Verdict}, err
	}
	return why.Report{AOR: aor, Verdict: timeline.Verdict{Code: why.CodeFine, Said: "Nothing is wrong: the phones wake when they are called."}}, err
}
