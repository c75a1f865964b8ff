package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reveille/internal/contacts"
	"reveille/registrar"
	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// The phones of newBook: of alice two, of bob one that was added by hand.
const (
	aliceAOR = "sip:alice@example.com"
	bobAOR   = "sip:bob@example.com"
)

// newBook is a location service with a few phones.
func newBook(t *testing.T) (*contacts.Book, *usrloc.Memory) {
	t.Helper()
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	t.Cleanup(func() { store.Close() })
	policy := registrar.DefaultPolicy("example.com")
	policy.MaxContacts = 3
	r, err := registrar.New(registrar.Options{Store: store, Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	book, err := contacts.New(contacts.Options{
		Store: store, Registrar: r, Memory: true,
		AOR: func(name string) (usrloc.AOR, error) {
			aor := usrloc.AOR("sip:" + strings.TrimPrefix(name, "sip:"))
			if !strings.HasSuffix(name, "@example.com") {
				return "", contacts.ErrNoUser
			}
			return aor, nil
		},
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) { return nil, fmt.Errorf("no host %s", host) },
		State:  func(*usrloc.Binding, time.Time) string { return contacts.Asleep },
		Wake:   func(usrloc.BindingID) *contacts.WakeHabit { return &contacts.WakeHabit{Successes: 1, Last: at()} },
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		b := usrloctest.Binding(aliceAOR, i, time.Now())
		store.Update(t.Context(), aliceAOR, usrloctest.Put(b), func(_ usrloc.Record, _ []usrloc.Change, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := book.Add(t.Context(), bobAOR, contacts.Addition{Contact: "sip:bob@192.0.2.20"}); err != nil {
		t.Fatal(err)
	}
	return book, store
}

// request sends a request with a token and a body and reads the answer into v, unless
// it is nil or the status is another.
func request(t *testing.T, s *Server, token, method, path, body string, want int, v any) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr().String()+prefix+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text strings.Builder
	if _, err := bufio.NewReader(resp.Body).WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != want {
		t.Fatalf("%s %s = %d %s, want %d", method, path, resp.StatusCode, text.String(), want)
	}
	if v != nil {
		if err := json.Unmarshal([]byte(text.String()), v); err != nil {
			t.Fatalf("%s %s = %s: %v", method, path, text.String(), err)
		}
	}
	return text.String()
}

const (
	readToken    = "token-of-the-role-read"
	operateToken = "token-of-the-role-operate"
)

func TestContacts_Ask(t *testing.T) {
	book, _ := newBook(t)
	s := control(t, Options{Addr: "127.0.0.1:0", Access: everybody(), Calls: Calls{Contacts: book}})
	get := func(path string, want int, v any) string {
		return request(t, s, readToken, http.MethodGet, path, "", want, v)
	}

	var u contacts.UserContacts
	text := get("/aors/"+url.PathEscape(aliceAOR), 200, &u)
	if !u.Registered || u.Count != 2 || len(u.Contacts) != 2 || u.AOR != aliceAOR || u.Contacts[0].Provider != "fcm" {
		t.Errorf("alice = %s", text)
	}
	get("/aors/alice@example.com", 200, nil)
	get("/aors/carol@example.com", 404, nil)
	get("/aors/carol@example.net", 404, nil)

	var l contacts.UserList
	get("/aors", 200, &l)
	if len(l.Users) != 2 || l.Next != "" {
		t.Errorf("users = %+v", l)
	}
	get("/aors?q=ALI", 200, &l)
	if len(l.Users) != 1 || l.Users[0].AOR != aliceAOR || l.Users[0].Asleep != 2 {
		t.Errorf("users with ALI = %+v", l)
	}
	seen := 0
	for after, first := "", true; first || after != ""; first = false {
		l = contacts.UserList{}
		get("/aors?limit=1&after="+after, 200, &l)
		seen, after = seen+len(l.Users), l.Next
	}
	if seen != 2 {
		t.Errorf("%d users on pages of one, want 2", seen)
	}
	get("/aors?limit=0", 422, nil)
	get("/aors?limit=1001", 422, nil)
	if p := get("/aors?after=1-2-3", 422, nil); !strings.Contains(p, "query.after") {
		t.Errorf("a page of another list: %s", p)
	}

	var found contacts.ContactList
	for path, want := range map[string]int{
		"/contacts": 3, "/contacts?aor=" + aliceAOR: 2, "/contacts?ip=192.0.2.20": 1, "/contacts?ip=192.0.2.20&port=5061": 0, "/contacts?provider=fcm&ua=Reveille": 2,
		"/contacts?aor=" + aliceAOR + "&call_id=" + url.QueryEscape(u.Contacts[1].CallID):  1,
		"/contacts?aor=" + aliceAOR + "&contact=" + url.QueryEscape(u.Contacts[1].Contact): 1,
		"/contacts?aor=carol@example.com":                                                  0, "/contacts?instance=" + u.Contacts[0].Instance: 1,
	} {
		found = contacts.ContactList{}
		if text := get(path, 200, &found); found.Count != want || len(found.Contacts) != want {
			t.Errorf("GET %s = %s, want %d", path, text, want)
		}
	}
	get("/contacts?ip=phone", 422, nil)
	get("/contacts?next_hop=none.example.com", 422, nil)
	get("/contacts?aor=carol@example.net", 404, nil)

	var c contacts.Contact
	if get("/bindings/"+u.Contacts[1].ID, 200, &c); c.AOR != aliceAOR || c.CallID != u.Contacts[1].CallID {
		t.Errorf("binding = %+v", c)
	}
	get("/bindings/"+strings.Repeat("0", 32), 404, nil)
	get("/bindings/x", 422, nil)

	lines := strings.Split(strings.TrimSuffix(get("/dump", 200, nil), "\n"), "\n")
	var aors []string
	for _, line := range lines {
		var u contacts.UserContacts
		if err := json.Unmarshal([]byte(line), &u); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		aors = append(aors, fmt.Sprint(u.AOR, " ", u.Count))
	}
	slices.Sort(aors)
	if want := []string{aliceAOR + " 2", bobAOR + " 1"}; !slices.Equal(aors, want) {
		t.Errorf("dump = %v, want %v", aors, want)
	}
}

// TestContacts_TokensAreForAdmins asks all that shows a contact.
func TestContacts_TokensAreForAdmins_RFC8599_13(t *testing.T) {
	book, store := newBook(t)
	s := control(t, Options{Addr: "127.0.0.1:0", Access: everybody(), Calls: Calls{Contacts: book}})
	rec, err := store.Get(t.Context(), aliceAOR)
	if err != nil {
		t.Fatal(err)
	}
	secret := rec.Bindings[0].Push.PRID
	for _, path := range []string{"/aors/" + aliceAOR, "/contacts", "/bindings/" + rec.Bindings[0].ID.String(), "/dump"} {
		for _, token := range []string{readToken, operateToken, rootToken} {
			if text := request(t, s, token, http.MethodGet, path, "", 200, nil); strings.Contains(text, secret) || strings.Contains(text, "pn-") {
				t.Errorf("%s: GET %s shows the token", token, path)
			}
		}
		request(t, s, operateToken, http.MethodGet, path+"?push=true", "", 403, nil)
		if text := request(t, s, rootToken, http.MethodGet, path+"?push=true", "", 200, nil); strings.Count(text, secret) < 2 || !strings.Contains(text, `"param":`) {
			t.Errorf("GET %s?push=true does not show the token: %s", path, text)
		}
	}
}

func TestContacts_Change(t *testing.T) {
	book, store := newBook(t)
	told := make(chan Change, 100)
	asked := 0
	s := control(t, Options{Addr: "127.0.0.1:0", Access: everybody(), Audit: func(c Change) { told <- c }, Calls: Calls{Contacts: book}})
	do := func(method, path, body string, want int, v any) string {
		asked++
		return request(t, s, operateToken, method, path, body, want, v)
	}
	count := func(aor usrloc.AOR, want int) {
		t.Helper()
		if rec, err := store.Get(t.Context(), aor); err != nil || len(rec.Bindings) != want {
			t.Errorf("%s has %d contacts, %v; want %d", aor, len(rec.Bindings), err, want)
		}
	}
	rec, err := store.Get(t.Context(), aliceAOR)
	if err != nil {
		t.Fatal(err)
	}
	first, second := &rec.Bindings[0], &rec.Bindings[1]

	do(http.MethodDelete, "/contacts", "", 422, nil) // nothing is asked for
	var r contacts.Removal
	do(http.MethodDelete, "/contacts?prid="+url.QueryEscape(first.Push.PRID), "", 200, &r)
	if r.Count != 1 || len(r.Removed) != 1 || r.Removed[0].ID != first.ID.String() {
		t.Errorf("removed %+v", r)
	}
	count(aliceAOR, 1)
	do(http.MethodDelete, "/aors/"+aliceAOR+"/contacts?call_id=none", "", 200, &r)
	count(aliceAOR, 1)
	do(http.MethodDelete, "/bindings/"+second.ID.String(), "", 200, nil)
	do(http.MethodDelete, "/bindings/"+second.ID.String(), "", 404, nil)
	count(aliceAOR, 0)
	do(http.MethodDelete, "/aors/"+aliceAOR, "", 404, nil)

	var c contacts.Contact
	add := "/aors/alice@example.com/contacts"
	do(http.MethodPost, add, `{"contact": "sip:desk@192.0.2.21;transport=tcp", "q": 0.5, "expires": 60, "methods": ["INVITE"], "user_agent": "desk"}`, 200, &c)
	if c.AOR != aliceAOR || c.Q == nil || *c.Q != 0.5 || c.ExpiresIn < 50 || !slices.Contains(c.Flags, contacts.Static) || c.UserAgent != "desk" {
		t.Errorf("added %+v", c)
	}
	for body, want := range map[string]int{
		`{"contact": "sip:desk@192.0.2.21;transport=ws"}`:                                422,
		`{"contact": "sip:alice@example.com"}`:                                           422,
		`{"contact": "sip:a@192.0.2.1", "q": 2}`:                                         422,
		`{"contact": "sip:a@192.0.2.1", "methods": ["invite"]}`:                          422,
		`{"contact": "sip:a@192.0.2.1", "path": ["sip:edge.example.com"]}`:               422,
		`{"contact": "sip:a@192.0.2.1;pn-provider=fcm;pn-param=p;pn-prid=SECRETSECRET"}`: 422,
		`{"kontact": "sip:a@192.0.2.1"}`:                                                 422,
	} {
		do(http.MethodPost, add, body, want, nil)
	}
	do(http.MethodPost, "/aors/carol@example.net/contacts", `{"contact": "sip:a@192.0.2.1"}`, 404, nil)
	count(aliceAOR, 1)
	do(http.MethodDelete, "/aors/"+aliceAOR, "", 200, &r)
	count(aliceAOR, 0)

	done := 0
	for range asked {
		x := <-told
		if strings.Contains(fmt.Sprintf("%+v", x), "SECRET") || strings.Contains(fmt.Sprintf("%+v", x), first.Push.PRID) {
			t.Errorf("the audit log holds a token: %+v", x)
		}
		if x.Status == 200 {
			done++
		}
		if x.Operation == "remove-contacts" && x.Status == 200 && !strings.Contains(x.Target, "prid=<redacted") {
			t.Errorf("target of a removal: %q", x.Target)
		}
	}
	if done != 5 {
		t.Errorf("the audit log tells of %d changes, want 5", done)
	}
}

func TestContacts_StoreIsGone(t *testing.T) {
	book, store := newBook(t)
	s := control(t, Options{Addr: "127.0.0.1:0", Access: everybody(), Calls: Calls{Contacts: book}})
	store.Close()
	for _, path := range []string{"/aors", "/aors/" + aliceAOR, "/contacts?provider=x", "/bindings/" + strings.Repeat("0", 32)} {
		request(t, s, rootToken, http.MethodGet, path, "", 503, nil)
		if path != "/aors" {
			request(t, s, rootToken, http.MethodDelete, path, "", 503, nil)
		}
	}
	request(t, s, rootToken, http.MethodPost, "/aors/"+aliceAOR+"/contacts", `{"contact": "sip:a@192.0.2.1"}`, 503, nil)
	if last := request(t, s, rootToken, http.MethodGet, "/dump", "", 200, nil); !strings.Contains(last, `"status":503`) {
		t.Errorf("the end of a dump: %q", last)
	}
}

// held are Contacts whose dumps wait to be let go.
type held struct {
	*contacts.Book
	begun, letGo chan struct{}
}

func (h held) Dump(ctx context.Context, secrets bool, yield func(contacts.UserContacts) error) error {
	h.begun <- struct{}{}
	<-h.letGo
	return h.Book.Dump(ctx, secrets, yield)
}

func TestContacts_DumpsAreFew(t *testing.T) {
	book, _ := newBook(t)
	h := held{book, make(chan struct{}), make(chan struct{})}
	socket := socketPath(t)
	control(t, Options{Socket: socket, Calls: Calls{Contacts: h}})
	dump := func(want int) {
		resp, err := over(socket).Get("http://localhost" + prefix + "/dump")
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want {
			t.Errorf("status %d, %v; want %d", resp.StatusCode, err, want)
		}
	}
	var all sync.WaitGroup
	for range maxDumps {
		all.Go(func() { dump(http.StatusOK) })
		<-h.begun
	}
	dump(http.StatusServiceUnavailable)
	close(h.letGo)
	all.Wait()
	all.Go(func() { dump(http.StatusOK) })
	<-h.begun
	all.Wait()
}
