package webpush

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"reveille/push"
)

// A service is a push service whose subscriptions, by path, are bound to a VAPID
// key each. It does not verify signatures: the other tests' does.
type service struct {
	*httptest.Server
	refuse int // status for a foreign key
	limit  int // longest body, 0: any

	mu     sync.Mutex
	bound  map[string]string // path to public key
	tries  []string          // public keys, in the order in which they came
	bodies [][]byte
	header http.Header // of the latest request
}

func newService(t *testing.T) *service {
	s := &service{refuse: http.StatusForbidden, bound: map[string]string{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, key, _ := strings.Cut(r.Header.Get("Authorization"), ", k=")
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tries = append(s.tries, key)
		s.bodies = append(s.bodies, body)
		s.header = r.Header
		switch {
		case s.bound[r.URL.Path] != key:
			w.WriteHeader(s.refuse)
			_, _ = io.WriteString(w, `{"reason":"VapidPkHashMismatch"}`)
		case s.limit > 0 && len(body) > s.limit:
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		default:
			w.WriteHeader(http.StatusCreated)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// taken returns the keys that were tried since it was last called.
func (s *service) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	tries := s.tries
	s.tries = nil
	return tries
}

func (s *service) options(t *testing.T, old int) (o Options, public []string) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	o = Options{Subscriber: "push@example.net", AllowedHosts: []string{"127.0.0.1"}, AllowPrivate: true, RootCAs: pool}
	for i := range old + 1 {
		pub, private, err := GenerateKeys()
		if err != nil {
			t.Fatal(err)
		}
		public = append(public, pub)
		if i == 0 {
			o.VAPIDPublic, o.VAPIDPrivate = pub, private
		} else {
			o.OldVAPIDPrivate = append(o.OldVAPIDPrivate, private)
		}
	}
	return o, public
}

// TestKeys_SubscriptionOfOldKey_RFC8292_4_2: a subscription goes on with the key
// that it was made with, which is found by trying once.
func TestKeys_SubscriptionOfOldKey_RFC8292_4_2(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest} {
		srv := newService(t)
		srv.refuse = status
		o, public := srv.options(t, 2)
		s := newSender(t, o)
		if got := s.PublicKey(); got != public[0] {
			t.Errorf("published key = %s, want the current one", got)
		}
		srv.bound = map[string]string{"/new": public[0], "/old": public[1], "/older": public[2]}
		for _, c := range []struct {
			path  string
			tries []string
		}{
			{"/new", public[:1]},
			{"/old", public[:2]},
			{"/older", public},
			{"/new", public[:1]},
			{"/old", public[1:2]},   // remembered
			{"/older", public[2:3]}, // remembered
		} {
			out := s.Send(t.Context(), request(srv.URL+c.path))
			tries := srv.taken()
			if out.Class != push.OK || out.Attempts != len(c.tries) || strings.Join(tries, " ") != strings.Join(c.tries, " ") {
				t.Errorf("%d: push to %s: %v after %d attempts with %q, want ok with %q", status, c.path, out.Class, out.Attempts, tries, c.tries)
			}
		}
		// The phone subscribed anew, with the current key, at the same place.
		srv.bound["/old"] = public[0]
		for _, want := range []int{2, 1} {
			if out := s.Send(t.Context(), request(srv.URL+"/old")); out.Class != push.OK || out.Attempts != want {
				t.Errorf("%d: after a new subscription: %v after %d attempts, want ok after %d", status, out.Class, out.Attempts, want)
			}
		}
	}
}

// TestKeys_OfNobody: when no key fits, the outcome speaks of the subscription.
func TestKeys_OfNobody(t *testing.T) {
	srv := newService(t)
	o, _ := srv.options(t, 2)
	s := newSender(t, o)
	if out := s.Send(t.Context(), request(srv.URL+"/x")); out.Class != push.Suspect || out.Attempts != 3 || out.Status != 403 {
		t.Errorf("outcome = %+v, want suspect after 3 attempts", out)
	}
}

// TestKeys_OtherAnswersEndTheSearch: what is not about the key is not tried with
// another.
func TestKeys_OtherAnswersEndTheSearch(t *testing.T) {
	srv := newService(t)
	srv.refuse = http.StatusGone
	o, _ := srv.options(t, 2)
	if out := newSender(t, o).Send(t.Context(), request(srv.URL+"/x")); out.Class != push.Gone || out.Attempts != 1 {
		t.Errorf("outcome = %+v, want gone after 1 attempt", out)
	}
}

func TestKeys_Refused(t *testing.T) {
	srv := newService(t)
	o, _ := srv.options(t, 1)
	for name, old := range map[string][]string{
		"not a key":   {"AAAA"},
		"the current": {o.VAPIDPrivate},
		"twice":       {o.OldVAPIDPrivate[0], o.OldVAPIDPrivate[0]},
		"too many":    make([]string, maxOld+1),
	} {
		o.OldVAPIDPrivate = old
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
