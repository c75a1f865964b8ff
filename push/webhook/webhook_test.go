package webhook_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/push"
	"reveille/push/pushsim"
	"reveille/push/pushtest"
	"reveille/push/webhook"
)

const token = "device/1?x=\"y\"&z"

// startSim starts push services of the same credentials.
var startSim = pushtest.Sims()

func newSender(t *testing.T, o webhook.Options) *webhook.Sender {
	t.Helper()
	s, err := webhook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func request() *push.Request {
	return &push.Request{
		AOR: "sip:alice@example.com", Params: push.Params{Provider: "acme", Param: "app"},
		Tokens: []push.Token{{PRID: token}}, Kind: push.Call, Method: "INVITE", CallID: "call@192.0.2.1", PushID: "p1",
		Deadline: time.Now().Add(25 * time.Second),
	}
}

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Fixture {
		sim := startSim(t, pushsim.Options{})
		return pushtest.Fixture{
			Sender: newSender(t, webhook.Options{
				URL: sim.HookURL("acme"), Secret: sim.Credentials().Secret, RootCAs: sim.RootCAs(),
			}),
			Request:  request,
			Set:      func(f pushsim.Fault) { sim.SetFault(token, f) },
			Received: func() int { return len(sim.Pushes()) },
		}
	})
}

// got is what a request carried.
type got struct {
	Method, URI, Body string
	Header            http.Header
}

// receive starts a plain HTTP server that keeps the latest request.
func receive(t *testing.T, status int) (url string, last func() got) {
	t.Helper()
	ch := make(chan got, 16)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(b)
		ch <- got{Method: r.Method, URI: r.RequestURI, Body: string(b), Header: r.Header}
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() got { return <-ch }
}

func TestSend_DefaultBody(t *testing.T) {
	url, last := receive(t, 200)
	r := request()
	r.Deadline = time.Now().Add(25 * time.Second)
	r.Data = map[string]string{"caller": "Bob"}
	if o := newSender(t, webhook.Options{URL: url}).Send(t.Context(), r); o.Class != push.OK {
		t.Fatalf("outcome = %+v, want ok", o)
	}
	g := last()
	var body map[string]any
	if err := json.Unmarshal([]byte(g.Body), &body); err != nil {
		t.Fatal(err)
	}
	ttl, _ := body["ttl"].(float64)
	if ttl < 24 || ttl > 25 || body["deadline"] != float64(r.Deadline.Unix()) {
		t.Errorf("ttl = %v, deadline = %v", body["ttl"], body["deadline"])
	}
	delete(body, "ttl")
	delete(body, "deadline")
	want := map[string]any{
		"provider": "acme", "param": "app", "prid": token, "use": "any", "kind": "call", "method": "INVITE",
		"aor": "sip:alice@example.com", "call_id": "call@192.0.2.1", "push_id": "p1", "data": map[string]any{"caller": "Bob"},
	}
	if d := cmp.Diff(want, body); d != "" {
		t.Errorf("body (-want +got):\n%s", d)
	}
	if g.Method != "POST" || g.Header.Get("Content-Type") != "application/json" || g.Header.Get(webhook.HeaderSignature) != "" {
		t.Errorf("request = %+v, want an unsigned POST of JSON", g)
	}
}

func TestSend_Templates(t *testing.T) {
	url, last := receive(t, 202)
	for _, c := range []struct {
		name    string
		o       webhook.Options
		method  string
		uri     string
		body    string
		headers map[string]string
	}{
		{
			name:   "body is escaped",
			o:      webhook.Options{URL: url + "/push", Body: `{"to":"{{.PRID}}","who":"{{.Data.caller}}","ttl":{{.TTL}}}`},
			method: "POST", uri: "/push", body: `{"to":"device/1?x=\"y\"\u0026z","who":"","ttl":25}`,
		},
		{
			name:   "json quotes",
			o:      webhook.Options{URL: url, Body: `{"to":{{json .Token}},"ttl":{{json .TTL}}}`},
			method: "POST", uri: "/", body: `{"to":"device/1?x=\"y\"\u0026z","ttl":25}`,
		},
		{
			name:   "URL is escaped",
			o:      webhook.Options{URL: url + "/send/{{.PRID}}?kind={{.Kind}}&id={{.CallID}}", Method: "GET"},
			method: "GET", uri: "/send/device%2F1%3Fx%3D%22y%22%26z?kind=call&id=call%40192.0.2.1",
		},
		{
			name:   "headers",
			o:      webhook.Options{URL: url, Method: "PUT", Body: `{}`, Header: map[string]string{"Authorization": "Bearer x", "Content-Type": "application/vnd.acme+json"}},
			method: "PUT", uri: "/", body: `{}`,
			headers: map[string]string{"Authorization": "Bearer x", "Content-Type": "application/vnd.acme+json"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if o := newSender(t, c.o).Send(t.Context(), request()); o.Class != push.OK {
				t.Fatalf("outcome = %+v, want ok", o)
			}
			g := last()
			if d := cmp.Diff([]string{c.method, c.uri, c.body}, []string{g.Method, g.URI, g.Body}); d != "" {
				t.Errorf("request (-want +got):\n%s", d)
			}
			for k, v := range c.headers {
				if g.Header.Get(k) != v {
					t.Errorf("%s = %q, want %q", k, g.Header.Get(k), v)
				}
			}
		})
	}
}

func TestSend_StatusIsClass(t *testing.T) {
	for status, want := range map[int]push.Class{
		200: push.OK, 204: push.OK, 302: push.Rejected, 400: push.Rejected, 401: push.Credential, 403: push.Credential,
		404: push.Suspect, 408: push.Unavailable, 410: push.Gone, 429: push.Throttled, 500: push.Unavailable, 503: push.Unavailable,
	} {
		url, _ := receive(t, status)
		if o := newSender(t, webhook.Options{URL: url}).Send(t.Context(), request()); o.Class != want || o.Status != status {
			t.Errorf("%d: outcome = %+v, want %v", status, o, want)
		}
	}
}

func TestVerify(t *testing.T) {
	secret := []byte("secret")
	url, last := receive(t, 200)
	now := time.Now()
	if o := newSender(t, webhook.Options{URL: url + "/a?b", Secret: secret}).Send(t.Context(), request()); o.Class != push.OK {
		t.Fatalf("outcome = %+v, want ok", o)
	}
	g := last()
	for _, c := range []struct {
		name   string
		secret string
		now    time.Time
		change func(r *http.Request, body *string)
		ok     bool
	}{
		{name: "as sent", ok: true},
		{name: "a little later", now: now.Add(time.Minute), ok: true},
		{name: "too late", now: now.Add(10 * time.Minute)},
		{name: "too early", now: now.Add(-10 * time.Minute)},
		{name: "other secret", secret: "x"},
		{name: "other body", change: func(_ *http.Request, b *string) { *b += " " }},
		{name: "other method", change: func(r *http.Request, _ *string) { r.Method = "PUT" }},
		{name: "other path", change: func(r *http.Request, _ *string) { r.URL.Path = "/b" }},
		{name: "other query", change: func(r *http.Request, _ *string) { r.URL.RawQuery = "c" }},
		{name: "other time", change: func(r *http.Request, _ *string) {
			r.Header.Set(webhook.HeaderTimestamp, strconv.FormatInt(now.Add(time.Minute).Unix(), 10))
		}},
		{name: "no time", change: func(r *http.Request, _ *string) { r.Header.Del(webhook.HeaderTimestamp) }},
		{name: "no signature", change: func(r *http.Request, _ *string) { r.Header.Del(webhook.HeaderSignature) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(g.Method, g.URI, nil)
			r.Header = g.Header.Clone()
			body := g.Body
			if c.change != nil {
				c.change(r, &body)
			}
			if c.now.IsZero() {
				c.now = now
			}
			key := secret
			if c.secret != "" {
				key = []byte(c.secret)
			}
			err := webhook.Verify(key, r, []byte(body), c.now, 5*time.Minute)
			if (err == nil) != c.ok {
				t.Errorf("Verify = %v, want ok %t", err, c.ok)
			}
		})
	}
}

func TestNew_RefusesBadOptions(t *testing.T) {
	for name, o := range map[string]webhook.Options{
		"no URL":          {},
		"no host":         {URL: "https:///x"},
		"host from phone": {URL: "https://{{.Param}}/x"},
		"host continues":  {URL: "https://example.com{{.Param}}/x"},
		"port continues":  {URL: "https://example.com:8{{.Param}}/x"},
		"userinfo":        {URL: "https://a:b@example.com/"},
		"scheme":          {URL: "ftp://example.com/"},
		"broken URL":      {URL: "https://example.com/{{.Nope}}"},
		"broken template": {URL: "https://example.com/", Body: "{{"},
		"unknown field":   {URL: "https://example.com/", Body: "{{.Nope}}"},
		"not JSON":        {URL: "https://example.com/", Body: "token={{.PRID}}"},
		"not quoted":      {URL: "https://example.com/", Body: `{"a":{{.PRID}}}`},
		"a map":           {URL: "https://example.com/", Body: `"{{.Data}}"`},
		"endless":         {URL: "https://example.com/", Body: `"{{range $i := 100000}}aaaaaaaaaa{{end}}"`},
		"GET with body":   {URL: "https://example.com/", Method: "GET", Body: "{}"},
		"method":          {URL: "https://example.com/", Method: "DELETE"},
	} {
		if _, err := webhook.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
