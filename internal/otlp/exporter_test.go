package otlp

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"reveille/internal/event"
	"reveille/internal/timeline"
)

// A fake is a collector of spans.
type fake struct {
	*httptest.Server
	status int // of its answers; 0 takes what comes

	mu     sync.Mutex // guards the fields below
	spans  []*spans.Span
	header http.Header
	from   []string // attributes of the resource
}

func newFake(t *testing.T, status int) *fake {
	t.Helper()
	f := &fake{status: status}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.status != 0 {
			w.WriteHeader(f.status)
			return
		}
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &req)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.header = r.Header
		for _, rs := range req.GetResourceSpans() {
			f.from = nil
			for _, a := range rs.GetResource().GetAttributes() {
				f.from = append(f.from, a.GetKey())
			}
			for _, ss := range rs.GetScopeSpans() {
				f.spans = append(f.spans, ss.GetSpans()...)
			}
		}
	}))
	t.Cleanup(f.Close)
	return f
}

// tree returns the spans: parent > name, times since began, status and attributes.
func (f *fake) tree(began time.Time) (lines []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := map[string]string{}
	for _, s := range f.spans {
		names[string(s.GetSpanId())] = s.GetName()
	}
	for _, s := range f.spans {
		line := s.GetName()
		if p := names[string(s.GetParentSpanId())]; p != "" {
			line = p + " > " + line
		}
		at := func(ns uint64) int64 { return (int64(ns) - began.UnixNano()) / 1e6 }
		line += fmt.Sprintf(" %d-%d", at(s.GetStartTimeUnixNano()), at(s.GetEndTimeUnixNano()))
		if s.GetStatus().GetCode() == spans.Status_STATUS_CODE_ERROR {
			line += " !" + s.GetStatus().GetMessage()
		}
		for _, e := range s.GetEvents() {
			line += " " + e.GetName()
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func record(began time.Time) timeline.Record {
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	return timeline.Record{
		Summary: timeline.Summary{
			ID: "7", CallID: "c1", Method: "INVITE", From: "sip:bob@example.com", To: "sip:alice@example.com", AOR: "sip:alice@example.com",
			Asleep: true, Began: began, Ended: at(6000), State: timeline.StateEnded, Outcome: timeline.OutcomeFailed, Status: 480, Reason: "Temporarily Unavailable",
			Verdict: &timeline.Verdict{Code: "no_wake", Said: "The phone did not wake."},
			Devices: []timeline.Device{
				{Binding: "b1", Provider: "apns", PushID: "p1", Asked: at(10), Parked: at(10), Deadline: at(6000), Class: "ok", Taken: at(200), TimedOut: true},
				{Binding: "b2", Provider: "fcm", Asked: at(10), Parked: at(10), Woke: at(1500), Class: "ok", Taken: at(100)},
			},
		},
		Steps: []timeline.Step{
			{At: began, Kind: timeline.StepReceived},
			{At: at(200), Kind: timeline.StepAttempt, Binding: "b1", Provider: "apns", Attempt: 1, Status: 503, Reason: "Shutdown", TookMS: 150},
			{At: at(400), Kind: timeline.StepAttempt, Binding: "b1", Provider: "apns", Attempt: 2, Status: 200, TookMS: 100},
			{At: at(6000), Kind: timeline.StepFailed, Status: 480},
		},
	}
}

// exporter returns one that tells f of r, when it is told that its request has ended.
func exporter(t *testing.T, f *fake, ratio float64, r timeline.Record) *Exporter {
	t.Helper()
	e, err := New(t.Context(), Options{
		Endpoint: f.URL + "/v1/traces", Headers: map[string]string{"x-key": "k"}, Ratio: ratio, Version: "1", Registerer: prometheus.NewRegistry(),
		Get: func(id string) (timeline.Record, bool) { return r, id == r.ID },
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestExporter_TellsOfARequest(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f, r := newFake(t, 0), record(began)
	e := exporter(t, f, 1, r)
	e.tell(t.Context(), &r)
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"INVITE 0-6000 !The phone did not wake. received failed",
		"INVITE > wake 10-1500",
		"INVITE > wake 10-6000 !ok",
		"wake > push apns 300-400",
		"wake > push apns 50-200 !503 Shutdown",
	}
	if diff := cmp.Diff(want, f.tree(began)); diff != "" {
		t.Error(diff)
	}
	if f.header.Get("X-Key") != "k" || !slices.Contains(f.from, "service.name") {
		t.Errorf("header %v, from %q", f.header, f.from)
	}
	for _, s := range f.spans {
		if strings.Contains(s.String(), "planted") {
			t.Errorf("pn-param is shown: %s", s)
		}
	}
	if got := testutil.ToFloat64(e.told); got != 5 {
		t.Errorf("%v spans, want 5", got)
	}
}

func TestExporter_Ratio(t *testing.T) {
	began := time.Now()
	f, r := newFake(t, 0), record(began)
	e := exporter(t, f, 0, r)
	e.tell(t.Context(), &r)
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.tree(began); got != nil {
		t.Errorf("told of %q", got)
	}
}

func TestExporter_NotesWhatHasEnded(t *testing.T) {
	f := newFake(t, 0)
	e := exporter(t, f, 1, record(time.Now()))
	e.Emit(event.Call{Step: "failed", Request: 1, Asleep: true})
	e.Emit(event.PushOutcome{})
	for range maxEnded + 3 {
		e.Emit(event.Explained{ID: "7"})
	}
	if got := testutil.ToFloat64(e.lost); got != 3 || len(e.ended) != maxEnded {
		t.Errorf("%v lost, %d wait", got, len(e.ended))
	}
	if x := <-e.ended; x != "7" {
		t.Errorf("noted %q", x)
	}
	if err := e.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// What has ended before the server does is told of.
func TestExporter_RunEndsWithWhatWaits(t *testing.T) {
	began := time.Now()
	f, r := newFake(t, 0), record(began)
	e := exporter(t, f, 1, r)
	for range 20 { // It is a matter of chance what is seen first: this, or the end.
		e.Emit(event.Explained{ID: r.ID})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e.Run(ctx)
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(f.tree(began)); got != 20*5 {
		t.Errorf("%d spans, want those of 20 requests", got)
	}
}

// A collector that takes nothing costs spans, which are counted.
func TestExporter_CollectorThatRefuses(t *testing.T) {
	f, r := newFake(t, http.StatusForbidden), record(time.Now())
	e := exporter(t, f, 1, r)
	e.tell(t.Context(), &r)
	if err := e.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if got := testutil.ToFloat64(e.lost); got != 5 {
		t.Errorf("%v lost, want 5", got)
	}
}
