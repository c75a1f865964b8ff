package admin

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
)

// newContract reads the document of a server as its clients do, by a library that
// shares nothing with the one that wrote it.
func newContract(t *testing.T, s *Server) validator.Validator {
	t.Helper()
	_, text := bearer(t, s, http.MethodGet, "/v1/openapi.json", readToken)
	doc, err := libopenapi.NewDocument([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	t.Cleanup(v.Release)
	if ok, errs := v.ValidateDocument(); !ok {
		for _, e := range errs {
			t.Errorf("the document: %s: %s %v", e.Message, e.Reason, e.SchemaValidationErrors)
		}
	}
	return v
}

// TestContract asks for everything there is, well and badly, and holds each answer
// against the document.
func TestContract(t *testing.T) {
	s := control(t, Options{Addr: "127.0.0.1:0", Access: everybody(), Calls: everything(t)})
	contract := newContract(t, s)
	binding := firstBinding(t, s)
	const alice = "/aors/alice@example.com"
	asked := map[string]map[int]bool{}
	for _, tt := range []struct {
		id, method, path, body string
		status                 int
	}{
		{"openapi-json", "GET", "/openapi.json", "", 200},
		{"openapi-yaml", "GET", "/openapi.yaml", "", 200},
		{"status", "GET", "/status", "", 200},
		{"stats", "GET", "/stats", "", 200},
		{"show-config", "GET", "/config", "", 200},
		{"flush", "POST", "/flush", "", 204},
		{"reload", "POST", "/reload", "", 200},
		{"backup", "POST", "/backup", `{"dir":"/backups/a"}`, 200},
		{"backup", "POST", "/backup", `{"dir":"a"}`, 422},
		{"backup", "POST", "/backup", `{`, 400},
		{"backup", "POST", "/backup", ``, 400},
		{"backup", "POST", "/backup", `{"dir":"/` + strings.Repeat("a", maxRequest) + `"}`, 413},
		{"list-bans", "GET", "/bans", "", 200},
		{"list-bans", "GET", "/bans?page=1", "", 422},
		{"lift-ban", "DELETE", "/bans?source=192.0.2.7", "", 204},
		{"lift-ban", "DELETE", "/bans?source=192.0.2.8", "", 404},
		{"lift-ban", "DELETE", "/bans", "", 422},
		{"list-messages", "GET", "/messages", "", 200},
		{"test-push", "POST", "/push", `{"aor":"alice","kind":"call"}`, 200},
		{"test-push", "POST", "/push", `{"aor":"nobody","kind":"call"}`, 404},
		{"test-push", "POST", "/push", `{"aor":"alice","kind":"x"}`, 422},
		{"wake", "POST", "/wake", `{"aor":"alice","kind":"call"}`, 200},
		{"wake", "POST", "/wake", `{"aor":"nobody","kind":"call"}`, 404},
		{"list-providers", "GET", "/providers", "", 200},
		{"report-push", "POST", "/woken", `{"push_id":"1","result":"gone"}`, 204},
		{"report-push", "POST", "/woken", `{"push_id":"2","result":"gone"}`, 404},
		{"follow-events", "GET", "/events?type=x", "", 422},
		{"trace", "GET", "/trace", "", 422},
		{"list-calls", "GET", "/calls", "", 200},
		{"show-call", "GET", "/calls/a1", "", 200},
		{"show-call", "GET", "/calls/b1", "", 404},
		{"list-parked", "GET", "/parked", "", 200},
		{"why", "GET", "/why?aor=alice", "", 200},
		{"why", "GET", "/why?aor=nobody", "", 404},
		{"hour", "GET", "/hour", "", 200},
		{"list-users", "GET", "/aors", "", 200},
		{"list-users", "GET", "/aors?limit=0", "", 422},
		{"get-user", "GET", alice, "", 200},
		{"get-user", "GET", "/aors/nobody@example.com", "", 404},
		{"find-contacts", "GET", "/contacts", "", 200},
		{"get-binding", "GET", "/bindings/" + binding, "", 200},
		{"get-binding", "GET", "/bindings/" + strings.Repeat("0", 32), "", 404},
		{"dump", "GET", "/dump", "", 200},
		{"add-contact", "POST", alice + "/contacts", `{"contact":"sip:alice@192.0.2.77"}`, 200},
		{"remove-binding", "DELETE", "/bindings/" + binding, "", 200},
		{"remove-of-user", "DELETE", alice + "/contacts?contact=sip:alice@192.0.2.77", "", 200},
		{"remove-contacts", "DELETE", "/contacts?ip=192.0.2.99", "", 200},
		{"remove-user", "DELETE", alice, "", 200},
	} {
		for token, status := range map[string]int{rootToken: tt.status, everybody().Reporter: http.StatusForbidden} {
			if token != rootToken && (tt.id == "report-push" || tt.id == "follow-events") {
				continue
			}
			req, resp := exchanged(t, s, tt.method, prefix+tt.path, tt.body, token)
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != status {
				t.Errorf("%s: %s %s = %d %s, want %d", tt.id, tt.method, tt.path, resp.StatusCode, body, status)
			}
			if asked[tt.id] == nil {
				asked[tt.id] = map[int]bool{}
			}
			asked[tt.id][resp.StatusCode] = true
			kept(t, contract, req, resp, body)
		}
	}
	for _, c := range s.api.calls {
		if asked[c.id] == nil {
			t.Errorf("%s is not asked for here", c.id)
		}
	}
}

// kept checks that an answer keeps what the document promises.
func kept(t *testing.T, contract validator.Validator, req *http.Request, resp *http.Response, body []byte) {
	t.Helper()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode >= 400 {
		var p Problem
		if err := json.Unmarshal(body, &p); err != nil || kind != "application/problem+json" || p.Status != resp.StatusCode || p.Detail == "" || p.Title == "" {
			t.Errorf("%s %s = %d %s %s is no problem, %v", req.Method, req.URL, resp.StatusCode, kind, body, err)
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if kind == "application/x-ndjson" || strings.HasSuffix(kind, "yaml") {
		return // No JSON, which is all that the validator reads.
	}
	if ok, errs := contract.ValidateHttpResponse(req, resp); !ok {
		for _, e := range errs {
			t.Errorf("%s %s = %d %.400s: %s: %s", req.Method, req.URL, resp.StatusCode, body, e.Message, e.Reason)
			for _, v := range e.SchemaValidationErrors {
				t.Errorf("  %s: %s", v.FieldPath, v.Reason)
			}
		}
	}
}

// exchanged sends a request. The body of the answer is closed with the test.
func exchanged(t *testing.T, s *Server, method, path, body, token string) (*http.Request, *http.Response) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr().String()+path, strings.NewReader(body))
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
	t.Cleanup(func() { resp.Body.Close() })
	return req, resp
}

// firstBinding is the identity of a phone of alice's.
func firstBinding(t *testing.T, s *Server) string {
	t.Helper()
	var u struct {
		Contacts []struct{ ID string }
	}
	request(t, s, readToken, http.MethodGet, "/aors/alice@example.com", "", 200, &u)
	return u.Contacts[0].ID
}
