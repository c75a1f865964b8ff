package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/event"
	"reveille/internal/feed"
)

// A reader reads a stream.
type reader struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Reader
}

func open(t *testing.T, c *http.Client, url string, header map[string]string) *reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return &reader{t, resp, bufio.NewReader(resp.Body)}
}

// next returns the lines up to the next empty one.
func (r *reader) next() string {
	r.t.Helper()
	var all strings.Builder
	for {
		line, err := r.in.ReadString('\n')
		if err != nil {
			r.t.Fatalf("%v after %q", err, all.String())
		}
		if line == "\n" {
			return all.String()
		}
		all.WriteString(line)
	}
}

func newFeed(t *testing.T, keep int) *feed.Feed {
	t.Helper()
	f := feed.New(feed.Options{Keep: keep})
	t.Cleanup(func() {
		if err := f.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestEvents_Stream(t *testing.T) {
	socket := socketPath(t)
	f := newFeed(t, 100)
	s := control(t, Options{Addr: "127.0.0.1:0", Socket: socket, Access: Access{Reporter: "b3arer"}, Calls: Calls{Events: &Events{Subscribe: f.Subscribe}}})
	const url = "http://localhost/v1/events"
	r := open(t, over(socket), url+"?type=push.*&type=!push.outcome&aor=sip:a@example.com&tokens=true", nil)
	if got := r.resp.Header.Get("Content-Type"); got != "text/event-stream" || r.next() != ": \n" {
		t.Errorf("begins with %v", r.resp.Header)
	}
	for _, e := range []event.Event{
		event.RefreshDue{AOR: "sip:a@example.com"},
		event.PushOutcome{AOR: "sip:a@example.com"},
		event.PushSend{AOR: "sip:b@example.com"},
		event.PushSend{AOR: "sip:a@example.com", PushID: "1", Token: "planted"},
	} {
		f.Emit(e)
	}
	got := r.next()
	id, _, _ := strings.Cut(strings.TrimPrefix(got, "id: "), "\n")
	if len(id) != 36 || !strings.Contains(got, "event: push.send\ndata: {\"v\":1,") || !strings.Contains(got, `"push_id":"1"`) || !strings.Contains(got, "planted") {
		t.Errorf("got %q", got)
	}
	f.Emit(event.PushSend{AOR: "sip:a@example.com", PushID: "2"})
	// A reader who comes back, by the address.
	address := "http://" + s.Addr().String() + "/v1/events"
	again := open(t, http.DefaultClient, address+"?type=push.*", map[string]string{"Authorization": "bearer b3arer", "Last-Event-ID": id})
	if first, second := again.next(), again.next(); first != ": \n" || !strings.Contains(second, `"push_id":"2"`) {
		t.Errorf("comes back to %q, %q", first, second)
	}
	lost := open(t, http.DefaultClient, address, map[string]string{"Authorization": "Bearer b3arer", "Last-Event-ID": "00000000-0000-7000-8000-000000000000"})
	if first, second := lost.next(), lost.next(); first != "event: missing\ndata: {}\n" || !strings.Contains(second, "binding.refresh_due") {
		t.Errorf("was away for too long: %q, %q", first, second)
	}
	for _, tt := range []struct {
		name, url, token string
		status           int
	}{
		{"no token", address, "", 401},
		{"a wrong token", address, "Bearer wrong", 401},
		{"another scheme", address, "Basic b3arer", 401},
		{"push tokens where they are not shown", address + "?tokens=true", "Bearer b3arer", 403},
		{"a misspelt type", address + "?type=pushes.*", "Bearer b3arer", 422},
		{"no pattern", address + "?type=[", "Bearer b3arer", 422},
	} {
		if r := open(t, http.DefaultClient, tt.url, map[string]string{"Authorization": tt.token}); r.resp.StatusCode != tt.status {
			t.Errorf("%s: %d", tt.name, r.resp.StatusCode)
		}
	}
	// A server that stops does not wait for its readers.
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(r.in); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
}

// TestEvents_ParamsFromOperateOn: what wakes a phone is not for the role read.
func TestEvents_ParamsFromOperateOn(t *testing.T) {
	const param = "planted-param"
	f := newFeed(t, 10)
	s := control(t, Options{Addr: "127.0.0.1:0", Access: everybody(), Calls: Calls{Events: &Events{Subscribe: f.Subscribe}}})
	for _, e := range []event.Event{
		event.Registration{Action: "created", Provider: "fcm", Param: param},
		event.RefreshDue{Provider: "fcm", Param: param},
		event.PushRequested{Provider: "fcm", Param: param},
		event.PushSend{Provider: "fcm", Param: param, Token: "planted-token"},
	} {
		f.Emit(e)
	}
	for token, want := range map[string]bool{readToken: false, operateToken: true, rootToken: true, everybody().Reporter: true} {
		r := open(t, http.DefaultClient, "http://"+s.Addr().String()+"/v1/events",
			map[string]string{"Authorization": "Bearer " + token, "Last-Event-ID": "00000000-0000-7000-8000-000000000000"})
		r.next()
		for range 4 {
			if got := r.next(); strings.Contains(got, param) != want || !strings.Contains(got, `"provider":"fcm"`) || strings.Contains(got, "planted-token") {
				t.Errorf("%s is shown %s", token, got)
			}
		}
	}
}

func TestEvents_NotOnTheAddressWithoutToken(t *testing.T) {
	s := control(t, Options{Addr: "127.0.0.1:0", Calls: Calls{Events: &Events{Subscribe: newFeed(t, 1).Subscribe}}})
	for path, want := range map[string]int{"/v1/events": 401, "/v1/woken": 401} {
		if r := open(t, http.DefaultClient, "http://"+s.Addr().String()+path, nil); r.resp.StatusCode != want {
			t.Errorf("GET %s: %d", path, r.resp.StatusCode)
		}
	}
}

// follow serves all events.
func follow(t *testing.T, s stream) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		write, err := s.open(r.Context(), &eventsInput{})
		if err != nil {
			t.Error(err)
			return
		}
		write(r.Context(), w)
	}
}

// TestEvents_GoOn: the bounds for whole requests are not for streams.
func TestEvents_GoOn(t *testing.T) {
	srv := httptest.NewUnstartedServer(follow(t, stream{subscribe: newFeed(t, 10).Subscribe, beat: 10 * time.Millisecond}))
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = 30*time.Millisecond, 30*time.Millisecond
	srv.Start()
	defer srv.Close()
	r := open(t, srv.Client(), srv.URL, nil)
	for range 20 {
		if got := r.next(); got != ": \n" {
			t.Fatalf("%q", got)
		}
	}
	r.resp.Body.Close()
}

// pipes is a listener of connections in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error { return nil }

func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

// TestEvents_SlowReader: who does not read is left behind, and nobody waits.
func TestEvents_SlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Options{Keep: 10, Subscribers: 1})
		mux := http.NewServeMux()
		ended := make(chan struct{})
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			follow(t, stream{subscribe: f.Subscribe, beat: heartbeat})(w, r)
			close(ended)
		})
		srv, l := &http.Server{Handler: mux}, make(pipes, 1)
		go srv.Serve(l)
		near, far := net.Pipe()
		l <- far
		if _, err := io.WriteString(near, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		f.Emit(event.RefreshDue{})
		<-ended
		if took := time.Since(began); took > writeWait {
			t.Errorf("the reader was left behind after %v", took)
		}
		sub, err := f.Subscribe(event.Filter{}, "")
		if err != nil {
			t.Error("its place is taken: ", err)
		} else {
			sub.Close()
		}
		near.Close()
		close(l)
		srv.Close()
		if err := f.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute) // What lingers ends.
	})
}

func TestEvents_FallsBehind(t *testing.T) {
	f := newFeed(t, 4)
	sub, err := f.Subscribe(event.Filter{}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	other, err := f.Subscribe(event.Filter{}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for n := range 6 {
		f.Emit(event.RefreshDue{AOR: fmt.Sprint(n)})
		if _, err := other.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	stream{beat: heartbeat}.write(t.Context(), &writer{w: deadlines{w}, c: http.NewResponseController(deadlines{w})}, sub)
	if got := w.Body.String(); got != ": \n\nevent: slow\ndata: {}\n\n" {
		t.Errorf("%q", got)
	}
}

// deadlines is a ResponseWriter that takes deadlines.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetReadDeadline(time.Time) error  { return nil }
func (deadlines) SetWriteDeadline(time.Time) error { return nil }

func TestEvents_Woken(t *testing.T) {
	socket := socketPath(t)
	var got []WakeReport
	control(t, Options{Socket: socket, Calls: Calls{Events: &Events{Woken: func(_ context.Context, r WakeReport) error {
		got = append(got, r)
		switch r.PushID {
		case "unknown":
			return ErrUnknown
		case "broken":
			return errors.New("store closed")
		}
		return nil
	}}}})
	for _, tt := range []struct {
		name, body string
		status     int
		answer     string
	}{
		{"delivered", `{"push_id":"1","result":"delivered"}`, 204, ""},
		{"gone", `{"aor":"sip:a@example.com","binding":"0a","result":"gone","reason":"uninstalled"}`, 204, ""},
		{"unknown", `{"push_id":"unknown","result":"failed"}`, 404, "no such push"},
		{"broken", `{"push_id":"broken","result":"failed"}`, 500, "store closed"},
		{"no JSON", `push_id=1`, 400, "body: invalid character"},
		{"misspelt", `{"pushid":"1","result":"failed"}`, 422, "pushid"},
		{"another result", `{"push_id":"1","result":"lost"}`, 422, "body.result"},
		{"about nothing", `{"result":"gone"}`, 422, "either push_id or aor"},
		{"about two", `{"push_id":"1","aor":"sip:a@example.com","result":"gone"}`, 422, "either push_id or aor"},
		{"whose binding", `{"push_id":"1","binding":"0a","result":"gone"}`, 422, "binding goes with aor"},
		{"line end", `{"push_id":"1","result":"gone","reason":"a\nb"}`, 422, "control characters"},
		{"long", `{"push_id":"1","result":"gone","reason":"` + strings.Repeat("x", 257) + `"}`, 422, "body.reason"},
		{"huge", `{"push_id":"` + strings.Repeat("x", maxReport) + `"}`, 413, "too large"},
	} {
		status, answer := post(t, over(socket), "http://localhost/v1/woken", tt.body)
		if status != tt.status || !strings.Contains(answer, tt.answer) {
			t.Errorf("%s: %d %s", tt.name, status, answer)
		}
	}
	want := []WakeReport{
		{PushID: "1", Result: Delivered},
		{AOR: "sip:a@example.com", Binding: "0a", Result: Gone, Reason: "uninstalled"},
		{PushID: "unknown", Result: Failed},
		{PushID: "broken", Result: Failed},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("reports (-want +got):\n%s", d)
	}
}
