package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Summary is what a run did and saw. Its JSON form is what other programs read:
// keys are added, none changes its meaning.
type Summary struct {
	Target string `json:"target"`
	Phones int    `json:"phones"`
	// Seconds is how long the run took.
	Seconds float64 `json:"seconds"`
	// Interrupted says that it was ended before its time.
	Interrupted bool `json:"interrupted"`
	// Unsent counts messages that the system did not take.
	Unsent int            `json:"unsent"`
	Phases []PhaseSummary `json:"phases"`
	Series []Row          `json:"series"`
	// Server is what the server said of itself, if it was asked.
	Server *Server `json:"server,omitempty"`
}

// A PhaseSummary is what happened in one phase. What began in one phase and ended
// in the next counts where it ended.
type PhaseSummary struct {
	Name      string         `json:"name"`
	Seconds   float64        `json:"seconds"`
	Registers RegisterCounts `json:"registers"`
	Calls     CallCounts     `json:"calls"`
	Pushes    PushCounts     `json:"pushes"`
	// Latency holds the measures that there are values of, by their names.
	Latency map[string]Latency `json:"latency"`
	// Failures counts by what failed and why, such as "invite: 480".
	Failures map[string]int `json:"failures"`
}

// RegisterCounts are about REGISTERs.
type RegisterCounts struct {
	Started int `json:"started"`
	OK      int `json:"ok"`
	Failed  int `json:"failed"`
	// Challenged counts the answers 401 that were answered.
	Challenged int `json:"challenged"`
	// Retransmitted counts what was sent again for want of an answer.
	Retransmitted int `json:"retransmitted"`
	// Expired counts the bindings that ended before their phones came back.
	Expired int `json:"expired"`
	// Rate is OK per second.
	Rate float64 `json:"rate"`
}

// CallCounts are about calls.
type CallCounts struct {
	Started int `json:"started"`
	// Answered calls had a 200 at the caller. Completed ones were acknowledged at
	// the phone and ended by a BYE that was answered.
	Answered  int `json:"answered"`
	Completed int `json:"completed"`
	// Unreached calls were refused with 480 because the phone is dead.
	Unreached int `json:"unreached"`
	// Cancelled calls were given up by an interrupted run.
	Cancelled     int `json:"cancelled"`
	Failed        int `json:"failed"`
	Retransmitted int `json:"retransmitted"`
	// MaxOpen is the largest number at once, MaxHeld that of calls to sleeping
	// phones that the server held.
	MaxOpen int `json:"max_open"`
	MaxHeld int `json:"max_held"`
	// Rate is Answered per second.
	Rate float64 `json:"rate"`
}

// PushCounts are about pushes at the push service.
type PushCounts struct {
	// Call and Refresh by what they are for; Other is the rest.
	Call    int `json:"call"`
	Refresh int `json:"refresh"`
	Other   int `json:"other"`
	// Dead of all these were to dead phones, Needless to phones that were awake or
	// waking. Unknown is what no phone of the run is woken by.
	Dead     int     `json:"dead"`
	Needless int     `json:"needless"`
	Unknown  int     `json:"unknown"`
	Rate     float64 `json:"rate"`
}

// Latency says how a measure is distributed, in milliseconds.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

// A Row is what happened in one Interval, or less at the end of a phase, that
// ended at Seconds.
type Row struct {
	Seconds   float64 `json:"seconds"`
	Registers int     `json:"registers"`
	Answered  int     `json:"answered"`
	Failed    int     `json:"failed"`
	Pushes    int     `json:"pushes"`
	// Open and Held are how many calls there are at its end.
	Open     int       `json:"open"`
	Held     int       `json:"held"`
	Register Quantiles `json:"register"`
	Added    Quantiles `json:"added"`
}

// Quantiles are those of one row, in milliseconds; zero without a value.
type Quantiles struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

func milliseconds(us int64) float64 { return float64(us) / float64(time.Millisecond/unit) }

func quantiles(h *hdrhistogram.Histogram) Quantiles {
	if h.TotalCount() == 0 {
		return Quantiles{}
	}
	return Quantiles{P50: milliseconds(h.ValueAtPercentile(50)), P99: milliseconds(h.ValueAtPercentile(99))}
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	return Latency{
		Count: h.TotalCount(), Mean: h.Mean() / float64(time.Millisecond/unit),
		P50: milliseconds(h.ValueAtPercentile(50)), P90: milliseconds(h.ValueAtPercentile(90)),
		P99: milliseconds(h.ValueAtPercentile(99)), P999: milliseconds(h.ValueAtPercentile(99.9)), Max: milliseconds(h.Max()),
	}
}

// Failed counts what failed in the whole run: all Failures, and the bindings that
// expired.
func (s *Summary) Failed() (n int) {
	for i := range s.Phases {
		p := &s.Phases[i]
		n += p.Registers.Expired
		for _, count := range p.Failures {
			n += count
		}
	}
	return n
}

// WriteText writes the summary for people.
func (s *Summary) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%d phones, %s, %.1f s", s.Phones, s.Target, s.Seconds)
	if s.Interrupted {
		fmt.Fprint(t, ", interrupted")
	}
	fmt.Fprintln(t)
	for i := range s.Phases {
		s.Phases[i].writeText(t)
	}
	if s.Unsent > 0 {
		fmt.Fprintf(t, "\n%d messages were not sent: the system did not take them\n", s.Unsent)
	}
	if s.Server != nil {
		s.Server.writeText(t)
	}
	return t.Flush()
}

func (p *PhaseSummary) writeText(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %.1f s\n", p.Name, p.Seconds)
	if r := p.Registers; r.Started > 0 || r.OK > 0 || r.Expired > 0 {
		fmt.Fprintf(w, "  REGISTER: %d sent, %d ok (%.0f/s), %d failed, %d challenged, %d retransmitted, %d expired\n",
			r.Started, r.OK, r.Rate, r.Failed, r.Challenged, r.Retransmitted, r.Expired)
	}
	if c := p.Calls; c.Started > 0 || c.Answered > 0 {
		fmt.Fprintf(w, "  calls: %d begun, %d answered (%.0f/s), %d completed, %d to dead phones, %d cancelled, %d failed, %d retransmitted\n",
			c.Started, c.Answered, c.Rate, c.Completed, c.Unreached, c.Cancelled, c.Failed, c.Retransmitted)
		fmt.Fprintf(w, "  at once: %d calls, %d held for a sleeping phone\n", c.MaxOpen, c.MaxHeld)
	}
	if q := p.Pushes; q != (PushCounts{}) {
		fmt.Fprintf(w, "  pushes: %d for calls, %d to refresh, %d other (%.0f/s), %d to dead phones, %d needless, %d unknown\n",
			q.Call, q.Refresh, q.Other, q.Rate, q.Dead, q.Needless, q.Unknown)
	}
	if len(p.Latency) > 0 {
		fmt.Fprint(w, "\tms\tcount\tp50\tp90\tp99\tp99.9\tmax\t\n")
		for m := range NumMeasures {
			if l, ok := p.Latency[m.String()]; ok {
				fmt.Fprintf(w, "\t%s\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", m, l.Count, l.P50, l.P90, l.P99, l.P999, l.Max)
			}
		}
	}
	for _, f := range slices.Sorted(maps.Keys(p.Failures)) {
		fmt.Fprintf(w, "  failed: %d × %s\n", p.Failures[f], f)
	}
}
