package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Measure is one of the times that a run measures.
type Measure uint8

// The measures. What passes on a phone by intention is part of PushToRegister and
// InviteToAnswer, and of no other.
const (
	// Register: the first sending of a REGISTER to its 200, a challenge included.
	Register Measure = iota
	// InviteToPush: INVITE to the push at the push service.
	InviteToPush
	// PushToRegister: the push to the 200 of the REGISTER.
	PushToRegister
	// RegisterToInvite: the REGISTER of a woken phone to the INVITE at it.
	RegisterToInvite
	// InviteToAnswer: INVITE to its 200 at the caller.
	InviteToAnswer
	// Added: InviteToAnswer less the phone's own delays.
	Added
	// Bye: BYE to its 200.
	Bye
	// PushLate: when a push to refresh a binding was due to when it came.
	PushLate
	// Pacing: when an open loop was to start something to when it did: what the
	// generator itself is late.
	Pacing

	// NumMeasures is how many there are.
	NumMeasures
)

// String is the name in the JSON summary.
func (m Measure) String() string {
	switch m {
	case Register:
		return "register"
	case InviteToPush:
		return "invite_to_push"
	case PushToRegister:
		return "push_to_register"
	case RegisterToInvite:
		return "register_to_invite"
	case InviteToAnswer:
		return "invite_to_answer"
	case Added:
		return "added"
	case Bye:
		return "bye"
	case PushLate:
		return "push_late"
	case Pacing:
		return "pacing"
	default:
		return "unknown"
	}
}

const (
	// Latencies are kept in microseconds, up to longest; what takes longer counts
	// as that.
	unit    = time.Microsecond
	longest = 10 * time.Minute
	// digits are significant in a phase's percentiles, rowDigits in a row's.
	digits, rowDigits = 3, 2
	// maxRows bounds the series; a longer run has no rows for its end.
	maxRows = 20_000
)

func newHistogram(digits int) *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(longest/unit), digits)
}

// A recorder counts. The core writes to it, and it is not safe for concurrent
// use.
type recorder struct {
	// done are the phases that are over, present is the one under way or the last.
	done    []PhaseSummary
	present PhaseSummary
	began   int64 // of the present phase
	seen    [NumMeasures]*hdrhistogram.Histogram

	rows []Row
	row  Row
	// rowOf are the histograms of the row under way: Register and Added.
	rowRegister, rowAdded *hdrhistogram.Histogram
}

func newRecorder() *recorder {
	r := &recorder{rowRegister: newHistogram(rowDigits), rowAdded: newHistogram(rowDigits)}
	r.present.Failures = map[string]int{}
	return r
}

// begin begins a phase.
func (r *recorder) begin(name string, now int64) {
	r.present = PhaseSummary{Name: name, Failures: map[string]int{}}
	r.began = now
}

// end ends the present phase and returns it.
func (r *recorder) end(now int64) PhaseSummary {
	p := r.present
	p.Seconds = time.Duration(now - r.began).Seconds()
	p.Registers.Rate = perSecond(p.Registers.OK, p.Seconds)
	p.Calls.Rate = perSecond(p.Calls.Answered, p.Seconds)
	p.Pushes.Rate = perSecond(p.Pushes.Call+p.Pushes.Refresh+p.Pushes.Other, p.Seconds)
	p.Latency = map[string]Latency{}
	for m, h := range r.seen {
		if h != nil && h.TotalCount() > 0 {
			p.Latency[Measure(m).String()] = latencyOf(h)
		}
	}
	r.seen = [NumMeasures]*hdrhistogram.Histogram{}
	r.done = append(r.done, p)
	return p
}

func perSecond(n int, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

// saw notes a time of ns nanoseconds.
func (r *recorder) saw(m Measure, ns int64) {
	us := min(max(ns, 0)/int64(unit), int64(longest/unit))
	if r.seen[m] == nil {
		r.seen[m] = newHistogram(digits)
	}
	// It is within the bounds, so there is no error.
	_ = r.seen[m].RecordValue(us)
	switch m {
	case Register:
		_ = r.rowRegister.RecordValue(us)
	case Added:
		_ = r.rowAdded.RecordValue(us)
	default: // Rows have no others.
	}
}

// failed counts a failure: what failed, and with which status or for which
// reason.
func (r *recorder) failed(what, why string) { r.present.Failures[what+": "+why]++ }

// registered counts the end of a REGISTER.
func (r *recorder) registered(ok bool) {
	if ok {
		r.present.Registers.OK++
		r.row.Registers++
	} else {
		r.present.Registers.Failed++
		r.row.Failed++
	}
}

// pushed counts a push in the row.
func (r *recorder) pushed() { r.row.Pushes++ }

// cut ends a row.
func (r *recorder) cut(now int64, open, held int) Row {
	row := r.row
	row.Seconds = time.Duration(now).Seconds()
	row.Open, row.Held = open, held
	row.Register, row.Added = quantiles(r.rowRegister), quantiles(r.rowAdded)
	if len(r.rows) < maxRows {
		r.rows = append(r.rows, row)
	}
	r.row = Row{}
	r.rowRegister.Reset()
	r.rowAdded.Reset()
	return row
}
