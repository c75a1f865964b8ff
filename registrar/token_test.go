package registrar

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/event"
	"reveille/usrloc"
)

// handedOn is a Registrar on a Store that knows who has a token.
func handedOn(t *testing.T) (*server, *usrloc.Memory) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{Tokens: true})
	t.Cleanup(func() { store.Close() })
	s := newServer(t, store)
	s.tokens = store
	return s, store
}

const (
	tokenPhone = `Contact: <sip:a@192.0.2.1;pn-provider=fcm;pn-param=p;pn-prid=TOKEN>;+sip.instance="<urn:x>"`
	otherToken = `Contact: <sip:a@192.0.2.1;pn-provider=fcm;pn-param=p;pn-prid=token>;+sip.instance="<urn:y>"`
)

// login registers user, who is authenticated unless that is "", and may register
// the addresses of own.
func (s *server) login(user, name string, cseq int, line string, own ...usrloc.AOR) {
	s.t.Helper()
	x := s.exchange(strings.ReplaceAll(request(cseq, line), "sip:alice@", "sip:"+user+"@"))
	own = append(own, usrloc.AOR("sip:"+user+"@example.com"))
	s.ServeUser(x, User{Name: name, May: func(aor usrloc.AOR) bool { return slices.Contains(own, aor) }})
	if got := <-x.answer; !strings.HasPrefix(got, "SIP/2.0 200 ") {
		s.t.Fatalf("answer to %s\n%s", user, got)
	}
}

func TestServe_TokenMovesToWhoLoggedInLast(t *testing.T) {
	const bob = usrloc.AOR("sip:bob@example.com")
	for _, tt := range []struct {
		name  string
		then  func(s *server)
		stays bool // what alice had
	}{
		{"another user", func(s *server) { s.login("bob", "bob", 1, tokenPhone) }, false},
		{"the service's name in another case", func(s *server) { s.login("bob", "bob", 1, strings.Replace(tokenPhone, "=fcm", "=FCM", 1)) }, false},
		{"another token", func(s *server) { s.login("bob", "bob", 1, otherToken) }, true},
		{"nobody knows who", func(s *server) { s.login("bob", "", 1, tokenPhone) }, true},
		{"another address of the user", func(s *server) { s.login("bob", "alice", 1, tokenPhone, alice) }, true},
		{"an unregistration", func(s *server) { s.login("bob", "bob", 1, tokenPhone+";expires=0") }, true},
		{"a query", func(s *server) { s.login("bob", "bob", 1, "User-Agent: x") }, true},
		{"nobody keeps an index", func(s *server) { s.tokens = nil; s.login("bob", "bob", 1, tokenPhone) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, store := handedOn(t)
				s.login("alice", "alice", 1, tokenPhone)
				s.login("alice", "alice", 1, strings.Replace(strings.Replace(tokenPhone, "TOKEN", "tablet", 1), "urn:x", "urn:tablet", 1))
				time.Sleep(time.Second)
				tt.then(s)
				rec, err := store.Get(t.Context(), alice)
				if err != nil {
					t.Fatal(err)
				}
				var tokens []string
				for i := range rec.Bindings {
					tokens = append(tokens, rec.Bindings[i].Push.PRID)
				}
				want := []string{"TOKEN", "tablet"}
				if !tt.stays {
					want = want[1:]
				}
				if !slices.Equal(tokens, want) {
					t.Errorf("the former user's tokens are %q, want %q", tokens, want)
				}
			})
		})
	}
	t.Run("event", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, _ := handedOn(t)
			s.login("alice", "alice", 1, tokenPhone)
			time.Sleep(time.Second)
			s.login("bob", "bob", 1, tokenPhone)
			var got [][3]string
			for _, e := range *s.events {
				if e, ok := e.(event.Registration); ok {
					got = append(got, [3]string{e.AOR, e.Action, e.Cause})
				}
			}
			want := [][3]string{{string(alice), "created", "register"}, {string(bob), "created", "register"}, {string(alice), "removed", "token_moved"}}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("events (-want +got):\n%s", d)
			}
		})
	})
}

// A server that ended between the two commits ends what it began with the next
// REGISTER, also with one that changes nothing.
func TestServe_TokenIsTakenOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := handedOn(t)
		s.login("alice", "alice", 1, tokenPhone)
		time.Sleep(time.Second)
		s.tokens = nil
		s.login("bob", "bob", 1, tokenPhone)
		s.tokens = store
		time.Sleep(time.Second)
		s.login("bob", "bob", 2, tokenPhone)
		if rec, err := store.Get(t.Context(), alice); len(rec.Bindings) != 0 || err != nil {
			t.Errorf("the former user has %+v, %v", rec.Bindings, err)
		}
	})
}

// What a REGISTER that is worked in late would take belongs to who came after it.
func TestTakeToken_NotFromWhoCameLater(t *testing.T) {
	now := birthday
	b := func(user usrloc.AOR, id byte, at time.Time) usrloc.Binding {
		p := usrloc.Partition(user)
		return usrloc.Binding{
			ID: usrloc.BindingID{byte(p >> 8), byte(p), 15: id}, Contact: "sip:a@h", Updated: at, Expires: at.Add(time.Hour), RetainUntil: at.Add(time.Hour),
			Push: usrloc.Push{Provider: "fcm", Param: "p", PRID: "TOKEN"},
		}
	}
	for _, tt := range []struct {
		name  string
		at    time.Duration // when bob came, after alice
		taken bool
	}{{"bob was later", time.Second, false}, {"bob was earlier", -time.Second, true}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now = time.Now()
				s, store := handedOn(t)
				const bob = usrloc.AOR("sip:bob@example.com")
				mine, his := b(alice, 1, now), b(bob, 2, now.Add(tt.at))
				store.Update(t.Context(), bob, func(rec usrloc.Record) (usrloc.Record, error) {
					rec.Bindings = []usrloc.Binding{his}
					return rec, nil
				}, func(usrloc.Record, []usrloc.Change, error) {})
				s.takeToken(bob, &mine, alice)
				if rec, err := store.Get(t.Context(), bob); len(rec.Bindings) == 0 != tt.taken || err != nil {
					t.Errorf("taken %v, want %v (%v)", len(rec.Bindings) == 0, tt.taken, err)
				}
			})
		})
	}
	x, y := b(alice, 1, now), b(alice, 2, now)
	if spokeAfter(&x, &y) == spokeAfter(&y, &x) {
		t.Error("of two bindings of the same time both spoke last, or none did")
	}
}

// brokenIndex cannot say who has a token.
type brokenIndex struct{}

func (brokenIndex) TokenHolders(context.Context, usrloc.Push) ([]usrloc.AOR, error) {
	return nil, errors.New("no index")
}

func TestServe_TokenLookupFails(t *testing.T) {
	s, _ := handedOn(t)
	s.tokens = brokenIndex{}
	s.login("alice", "alice", 1, tokenPhone)
	if got := s.log.String(); !strings.Contains(got, "no index") || strings.Contains(got, "TOKEN") {
		t.Errorf("log %q", got)
	}
}
