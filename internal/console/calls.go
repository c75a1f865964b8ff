package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"reveille/internal/contacts"
	"reveille/internal/timeline"
)

// callsPerPage is how many requests a page of the list has.
const callsPerPage = 50

// callsPage is the list of requests that met a sleeping phone.
type callsPage struct {
	Filter   timeline.Query
	Found    []timeline.Summary
	Outcomes []choice
	// Older is the URL of the next page, empty if this is the last; Newest that of the
	// first if this is another.
	Older, Newest string
}

// A choice is one of a list.
type choice struct {
	Value, Text string
	Chosen      bool
}

func (c *Console) calls(r *http.Request, _ visitor) (page, error) {
	q := r.URL.Query()
	f := timeline.Query{
		AOR: canonical(q.Get("aor")), CallID: strings.TrimSpace(q.Get("call_id")), Outcome: q.Get("outcome"), Before: q.Get("before"), Limit: callsPerPage,
	}
	p := callsPage{Filter: f, Outcomes: []choice{{"", "all", f.Outcome == ""}}}
	for _, o := range []string{
		timeline.StateWaiting, timeline.OutcomeFailed, timeline.OutcomeCancelled, timeline.OutcomeDiverted, timeline.OutcomeAnswered, timeline.OutcomeKept,
	} {
		p.Outcomes = append(p.Outcomes, choice{o, o, f.Outcome == o})
	}
	found, more, err := c.source.Timeline.Calls(f)
	if err != nil && !errors.Is(err, contacts.ErrNoUser) {
		return page{}, err
	}
	p.Found = found
	q.Del("before")
	if f.Before != "" {
		p.Newest = "calls?" + q.Encode()
	}
	if more && len(p.Found) > 0 {
		q.Set("before", p.Found[len(p.Found)-1].ID)
		p.Older = "calls?" + q.Encode()
	}
	every := slow
	if f.Before != "" {
		every = 0
	}
	return page{Title: "Calls", Section: "calls", name: "calls", Every: every, Body: p}, nil
}

// canonical is an AOR as the server writes it, from what people write.
func canonical(name string) string {
	name = strings.TrimSpace(name)
	if name == "" || strings.HasPrefix(name, "sip:") || strings.HasPrefix(name, "sips:") || strings.HasPrefix(name, "tel:") {
		return name
	}
	return "sip:" + name
}

// callPage is one request.
type callPage struct {
	Record timeline.Record
	Ladder ladder
	Spent  chart
	Steps  []stepLine
}

// A stepLine is a step in words.
type stepLine struct {
	timeline.Step
	Class string
}

func (c *Console) call(r *http.Request, _ visitor) (page, error) {
	rec, ok := c.source.Timeline.Call(r.PathValue("id"))
	if !ok {
		return page{}, errNotFound
	}
	p := callPage{Record: rec, Ladder: drawLadder(&rec), Spent: spent(&rec, c.now())}
	for _, s := range rec.Steps {
		p.Steps = append(p.Steps, stepLine{s, stepClass(s)})
	}
	every := fast
	if rec.State == timeline.StateEnded {
		every = 0
	}
	title := rec.Method + " for " + shortName(rec.AOR)
	if rec.AOR == "" {
		title = rec.Method + " for " + shortName(rec.To)
	}
	return page{Title: title, Section: "calls", name: "call", Every: every, Body: p}, nil
}

// stepClass is "bad" for a step that is, or explains, a failure.
func stepClass(s timeline.Step) string {
	switch s.Kind {
	case timeline.StepFailed, timeline.StepRefused, timeline.StepTimedOut, timeline.StepLate, timeline.StepUnregister, timeline.StepUnreachable, timeline.StepBranchEnded, timeline.StepElsewhere, timeline.StepSilent:
		return "bad"
	case timeline.StepAttempt, timeline.StepPushOutcome:
		if s.Class != "" && s.Class != "ok" {
			return "bad"
		}
	}
	return ""
}

// search goes to a user who is named in full, else to those whose name has the words.
func (c *Console) search(r *http.Request, _ visitor) (page, error) {
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	if strings.Contains(strings.TrimPrefix(q, "sip:"), "@") {
		if _, err := c.source.User(r.Context(), canonical(q)); err == nil {
			return page{redirect: userURL(canonical(q))}, nil
		}
	}
	return page{redirect: Path + "users?q=" + url.QueryEscape(q)}, nil
}
