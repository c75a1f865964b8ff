package console

import (
	"net/http"

	"reveille/internal/admin"
	"reveille/internal/timeline"
)

// How often pages that are open are brought up to date, in seconds: those on which
// somebody waits at every moment, and the others.
const (
	fast = 2
	slow = 5
)

// How much of other pages the overview shows.
const (
	overviewWaiting = 6
	overviewFailed  = 6
)

// overview is the first page.
type overview struct {
	Counts  Counts
	Phones  chart
	Hour    timeline.Minute
	NotCome int
	Settled int // wakes of which it is known whether the phone came
	Wakes   chart
	Latency chart
	Waiting []timeline.Waiting
	// WaitingAll is how many wait, of whom not all are shown.
	WaitingAll int
	Failed     []timeline.Summary
	Services   []admin.Lane
	Troubles   int // among them
}

func (c *Console) overview(r *http.Request, _ visitor) (page, error) {
	counts, err := c.source.Counts(r.Context())
	if err != nil {
		return page{}, err
	}
	hour := c.source.Timeline.Hour()
	o := overview{Counts: counts, Hour: hour.Total, NotCome: notCome(hour.Total), Wakes: wakesChart(hour.Minutes), Latency: latencyChart(hour.Minutes)}
	o.Settled = o.Hour.Woke + o.Hour.Late + o.NotCome
	o.Phones = share("phones", "Phones", []part{
		{float64(counts.Awake), "f-awake", number(counts.Awake) + " awake"},
		{float64(counts.Asleep), "f-asleep", number(counts.Asleep) + " asleep"},
		{float64(counts.Dormant), "f-dormant", number(counts.Dormant) + " dormant"},
		{float64(counts.Unreachable), "f-failed", number(counts.Unreachable) + " not reachable"},
	})
	o.Waiting, o.WaitingAll = c.source.Timeline.Parked(overviewWaiting)
	if o.Failed, _, err = c.source.Timeline.Calls(timeline.Query{Outcome: timeline.OutcomeFailed, Limit: overviewFailed}); err != nil {
		return page{}, err
	}
	o.Services = c.source.Pushes.Lanes()
	for _, l := range o.Services {
		if laneTone(l).Class != "good" {
			o.Troubles++
		}
	}
	return page{Title: "Overview", Section: "overview", name: "overview", Every: slow, Body: o}, nil
}

// laneTone says how a queue to a push service is.
func laneTone(l admin.Lane) tone {
	switch {
	case !l.PausedUntil.IsZero():
		return tone{"bad", "paused"}
	case l.LastFailure.After(l.LastOK):
		return tone{"warn", "last push failed"}
	case l.LastOK.IsZero():
		return tone{"", "not used yet"}
	}
	return tone{"good", "works"}
}

// services shows the queues to push services.
func (c *Console) services(*http.Request, visitor) (page, error) {
	return page{Title: "Push services", Section: "services", name: "services", Every: slow, Body: c.source.Pushes.Lanes()}, nil
}

// maxWaiting is how many are listed.
const maxWaiting = 200

// waitingPage is who waits; All is how many there are.
type waitingPage struct {
	Waiting []timeline.Waiting
	All     int
}

// waiting lists the phones that somebody waits for.
func (c *Console) waiting(*http.Request, visitor) (page, error) {
	list, total := c.source.Timeline.Parked(maxWaiting)
	return page{Title: "Waiting now", Section: "waiting", name: "waiting", Every: fast, Body: waitingPage{list, total}}, nil
}
