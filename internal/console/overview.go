package console

import (
	"cmp"
	"net/http"
	"time"

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
	// lookedAt is how many requests that failed are looked through for those.
	lookedAt = 200
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
	Failed     []failed
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
	calls, _, err := c.source.Timeline.Calls(timeline.Query{Outcome: timeline.OutcomeFailed, Limit: lookedAt})
	if err != nil {
		return page{}, err
	}
	o.Failed = failures(calls, overviewFailed)
	o.Services = c.source.Pushes.Lanes()
	for _, l := range o.Services {
		if laneTone(l).Class != "good" {
			o.Troubles++
		}
	}
	return page{Title: "Overview", Section: "overview", name: "overview", Every: slow, Body: o}, nil
}

// A failed is what failed for a user for the same reason: a phone that is dead is
// called again and again, and would hide all others.
type failed struct {
	Last  timeline.Summary
	First time.Time
	Times int
}

// failures puts together what failed alike, and returns at most so many of these. The
// latest is the first, in calls as in what is returned.
func failures(calls []timeline.Summary, limit int) (list []failed) {
	type key struct{ user, said string }
	at := map[key]int{}
	for _, s := range calls {
		k := key{user: cmp.Or(s.AOR, s.To)}
		if s.Verdict != nil {
			k.said = s.Verdict.Code
		}
		i, ok := at[k]
		switch {
		case ok:
			list[i].First = s.Began
			list[i].Times++
		case len(list) < limit:
			at[k] = len(list)
			list = append(list, failed{s, s.Began, 1})
		}
	}
	return list
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
