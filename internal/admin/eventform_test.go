package admin

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator/schema_validation"
	"github.com/pb33f/libopenapi/datamodel/high/base"

	"reveille/flow"
	"reveille/internal/event"
)

// formsOf returns the schemas of the document of a server, by name.
func formsOf(t *testing.T, s *Server) func(name string) *base.Schema {
	t.Helper()
	_, text := bearer(t, s, http.MethodGet, "/v1/openapi.json", readToken)
	doc, err := libopenapi.NewDocument([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	return func(name string) *base.Schema {
		proxy := model.Model.Components.Schemas.GetOrZero(name)
		if proxy == nil {
			t.Fatalf("the document has no %s", name)
		}
		return proxy.Schema()
	}
}

// someEvents are one of each type as it is at least, and some with all that they have.
func someEvents() (all []event.Event) {
	for _, t := range event.Types() {
		if _, ok := t.Example.(event.FlowClosed); !ok { // One always names its flow.
			all = append(all, t.Example)
		}
	}
	f := flow.Flow{Listener: "main", Transport: flow.TCP, Remote: netip.MustParseAddrPort("192.0.2.7:40000"), Conn: 17}
	return append(all,
		event.Registration{Action: "created", AOR: "sip:a@example.com", Binding: "1", Q: 500, Path: []string{"<sip:e;lr>"}, Attributes: map[string]string{"plan": "gold"}, Provider: "fcm", Param: "p", Flow: f, Created: at(), Expires: at()},
		event.PushSend{AOR: "sip:a@example.com", Token: "t", P256DH: "k", Auth: "s", Deadline: at(), Extra: map[string]string{"caller_name": "Bob"}},
		event.PushOutcome{AOR: "sip:a@example.com", Class: "ok", Status: 200, Tries: []event.Try{{Class: "ok", Status: 200, Began: at(), Took: time.Second}}},
		event.Call{Step: "parked", Method: "INVITE", CallID: "c", Flow: f, Elapsed: time.Second, Sleeper: &event.Sleeper{Deadline: at(), Lacks: "NoToken"}},
		event.FlowClosed{Flow: f},
	)
}

// TestEvents_Contract: whatever is in the stream has the form that the document gives
// its type.
func TestEvents_Contract(t *testing.T) {
	f := newFeed(t, 100)
	s := control(t, Options{Addr: "127.0.0.1:0", Access: everybody(), Calls: Calls{Events: &Events{Subscribe: f.Subscribe}}})
	v := validator.NewSchemaValidator()
	defer v.Release()
	schema := formsOf(t, s)("Event")
	r := open(t, http.DefaultClient, "http://"+s.Addr().String()+"/v1/events?tokens=true", map[string]string{"Authorization": "Bearer " + rootToken})
	r.next() // A sign of life.
	var last string
	for _, e := range someEvents() {
		f.Emit(e)
		_, data, _ := strings.Cut(r.next(), "\ndata: ")
		last = strings.TrimSpace(data)
		if ok, errs := v.ValidateSchemaStringWithVersion(schema, last, 3.1); !ok {
			for _, err := range errs {
				t.Errorf("%s: %s: %s %v", last, err.Message, err.Reason, err.SchemaValidationErrors)
			}
		}
	}
	// What has another form is told from it.
	for _, wrong := range []string{"{}", strings.Replace(last, "flow.closed", "flow.opened", 1), strings.Replace(last, "flow.closed", "push.send", 1), strings.Replace(last, `"remote":"192.0.2.7:40000",`, "", 1)} {
		if wrong == last {
			t.Fatalf("nothing is wrong in %s", wrong)
		}
		if ok, _ := v.ValidateSchemaStringWithVersion(schema, wrong, 3.1); ok {
			t.Errorf("%s is an event", wrong)
		}
	}
}
