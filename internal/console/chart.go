package console

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"reveille/internal/timeline"
)

// A chart is a picture that stretches to the width it gets. Its words are beside the
// picture, so that they do not stretch, and its numbers are in a table, too.
type chart struct {
	// ID tells charts of a page apart.
	ID, Title, Desc string
	Width, Height   float64
	Rules           []float64 // heights of horizontal lines
	Bars            []bar
	Lines           []line
	// Y are the words beside it from top to bottom, X those below from left to right.
	Y, X []string
	Key  []keyEntry
	Head []string
	Rows [][]string
	// Empty is what is said instead if there is nothing to draw.
	Empty string
	Low   bool
}

// A bar is a rectangle; Class is its colour.
type bar struct {
	X, Y, W, H float64
	Class      string
	Says       string
}

// A line is a path; Class is its colour.
type line struct{ Path, Class string }

// A keyEntry says what a colour means.
type keyEntry struct{ Class, Text string }

// The size of charts in units of their own.
const (
	chartWidth  = 600.0
	chartHeight = 100.0
)

// ceiling is the least round number that is not below v: 1, 2 or 5 and noughts.
func ceiling(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5, 10} {
		if v <= m*unit*(1+1e-9) {
			return m * unit
		}
	}
	return 10 * unit
}

// notCome counts the phones of a minute that did not come although somebody waited to
// the end.
func notCome(m timeline.Minute) (n int) {
	for why, k := range m.Failed {
		if why != timeline.OutcomeCancelled {
			n += k
		}
	}
	return n
}

// wakesChart shows how many phones woke in each minute of an hour.
func wakesChart(ms []timeline.Minute) chart {
	c := chart{
		ID: "wakes", Title: "Phones woken, by minute", Width: chartWidth, Height: chartHeight,
		Key:   []keyEntry{{"f-woke", "came in time"}, {"f-wait", "came too late"}, {"f-failed", "did not come"}},
		Head:  []string{"Minute (UTC)", "Came in time", "Too late", "Did not come"},
		Empty: "Nobody had to be woken within the last hour.",
	}
	top, total, woke := 0, 0, 0
	for _, m := range ms {
		n := m.Woke + m.Late + notCome(m)
		top, total, woke = max(top, n), total+n, woke+m.Woke
	}
	if total == 0 {
		return c
	}
	most := max(2, ceiling(float64(top)))
	c.axes(most, strconv.Itoa(int(most)), half(most), ms)
	c.Desc = fmt.Sprintf("Within the last hour %d phones were to be woken and %d came in time; at most %d in one minute.", total, woke, top)
	step := chartWidth / float64(len(ms))
	for i, m := range ms {
		y := chartHeight
		for _, part := range []struct {
			n     int
			class string
		}{{m.Woke, "f-woke"}, {m.Late, "f-wait"}, {notCome(m), "f-failed"}} {
			if part.n == 0 {
				continue
			}
			h := float64(part.n) / most * chartHeight
			y -= h
			c.Bars = append(c.Bars, bar{X: float64(i)*step + 1, Y: y, W: step - 2, H: h, Class: part.class})
		}
		if m.Woke+m.Late+notCome(m) > 0 {
			c.Rows = append(c.Rows, []string{clock(m.At), strconv.Itoa(m.Woke), strconv.Itoa(m.Late), strconv.Itoa(notCome(m))})
		}
	}
	return c
}

// round says a round time.
func round(ms float64) string {
	if ms < 1000 {
		return strconv.FormatFloat(ms, 'f', -1, 64) + " ms"
	}
	return strconv.FormatFloat(ms/1000, 'f', -1, 64) + " s"
}

func half(most float64) string {
	return strconv.FormatFloat(most/2, 'f', -1, 64)
}

// latencyChart shows how long phones took to wake in each minute of an hour.
func latencyChart(ms []timeline.Minute) chart {
	c := chart{
		ID: "latency", Title: "Time to wake", Width: chartWidth, Height: chartHeight,
		Key:   []keyEntry{{"f-awake", "median"}, {"f-wait", "p95"}},
		Head:  []string{"Minute (UTC)", "Median", "p95", "Slowest"},
		Empty: "No phone woke within the last hour.",
	}
	top := 0.0
	for _, m := range ms {
		top = max(top, m.P95MS)
	}
	if top == 0 {
		return c
	}
	most := ceiling(top)
	c.axes(most, round(most), round(most/2), ms)
	c.Desc = fmt.Sprintf("Time from the push to the REGISTER, by minute. In the slowest minute 95 of 100 phones took up to %s.", milliseconds(top))
	at := func(ms float64) float64 { return chartHeight - ms/most*chartHeight }
	p50 := pathOf(ms, func(m timeline.Minute) float64 { return m.P50MS }, at)
	p95 := pathOf(ms, func(m timeline.Minute) float64 { return m.P95MS }, at)
	c.Lines = []line{{p95, "s-p95"}, {p50, "s-p50"}}
	for _, m := range ms {
		if m.P95MS > 0 {
			c.Rows = append(c.Rows, []string{clock(m.At), milliseconds(m.P50MS), milliseconds(m.P95MS), milliseconds(m.MaxMS)})
		}
	}
	return c
}

// axes gives a chart of an hour its lines and the words beside it.
func (c *chart) axes(most float64, top, middle string, ms []timeline.Minute) {
	c.Rules = []float64{0, chartHeight / 2, chartHeight}
	c.Y = []string{top, middle, "0"}
	if most == 1 {
		c.Y[1] = ""
	}
	for _, i := range []int{0, len(ms) / 2, len(ms) - 1} {
		c.X = append(c.X, clock(ms[i].At))
	}
}

func clock(t time.Time) string { return t.UTC().Format("15:04") }

// pathOf connects the values of minutes that follow each other; one that stands alone is
// a dot.
func pathOf(ms []timeline.Minute, value func(timeline.Minute) float64, y func(float64) float64) string {
	var b strings.Builder
	step := chartWidth / float64(len(ms))
	for i, m := range ms {
		v := value(m)
		if v == 0 {
			continue
		}
		x := (float64(i) + .5) * step
		if i == 0 || value(ms[i-1]) == 0 {
			fmt.Fprintf(&b, "M%.1f %.1fh.1", x, y(v))
		} else {
			fmt.Fprintf(&b, "L%.1f %.1f", x, y(v))
		}
	}
	return b.String()
}

// share is one bar across, divided.
func share(id, title string, parts []part) chart {
	c := chart{ID: id, Title: title, Width: chartWidth, Height: 10}
	total := 0.0
	for _, p := range parts {
		total += p.Value
	}
	if total == 0 {
		return c
	}
	x := 0.0
	var says []string
	for _, p := range parts {
		w := p.Value / total * chartWidth
		if p.Value > 0 {
			// What there is can be seen, however little it is.
			c.Bars = append(c.Bars, bar{X: x, W: max(w-1.5, 1.5), H: 10, Class: p.Class, Says: p.Text})
			c.Key = append(c.Key, keyEntry{p.Class, p.Text})
			says = append(says, p.Text)
		}
		x += w
	}
	c.Desc = strings.Join(says, ", ")
	return c
}

// A part of a share.
type part struct {
	Value       float64
	Class, Text string
}

// historyLength is how many wakes of a phone are drawn.
const historyLength = 40

// historyChart shows how long a phone took for each of its last wakes. calls are the
// latest first.
func historyChart(binding string, calls []timeline.Summary) chart {
	c := chart{
		ID: "history-" + binding, Title: "Its last wakes", Width: chartWidth, Height: chartHeight, Low: true,
		Key:   []keyEntry{{"f-woke", "came in time"}, {"f-wait", "came too late"}, {"f-failed", "did not come"}},
		Head:  []string{"When (UTC)", "For", "Took", "Outcome"},
		Empty: "Since the server started nobody has called this phone in its sleep.",
	}
	var wakes []wake
	for _, s := range calls {
		for _, d := range s.Devices {
			if d.Binding == binding && len(wakes) < historyLength {
				wakes = append(wakes, wakeOf(s, d))
			}
		}
	}
	if len(wakes) == 0 {
		return c
	}
	top := 0.0
	for _, w := range wakes {
		top = max(top, w.ms)
	}
	most := 1000.0
	if top > 0 {
		most = ceiling(top)
	}
	step := chartWidth / historyLength
	came := 0
	for i, w := range wakes {
		b := bar{X: chartWidth - float64(i+1)*step + 1.5, W: step - 3, Class: w.class, Says: clock(w.at) + " " + w.says}
		b.H = chartHeight
		if w.ms > 0 {
			b.H = max(w.ms/most*chartHeight, 1)
		}
		b.Y = chartHeight - b.H
		if w.class == "f-woke" {
			came++
		}
		c.Bars = append(c.Bars, b)
		c.Rows = append(c.Rows, []string{w.at.UTC().Format("2 Jan 15:04:05"), w.method, w.took(), w.says})
	}
	c.Rules = []float64{0, chartHeight / 2, chartHeight}
	c.Y = []string{round(most), round(most / 2), "0"}
	c.X = []string{"older", "latest " + clock(wakes[0].at)}
	c.Desc = fmt.Sprintf("The last %d wakes, the latest on the right; %d came in time.", len(wakes), came)
	return c
}

// A wake is one for the picture.
type wake struct {
	at          time.Time
	ms          float64
	method      string
	class, says string
}

func (w wake) took() string {
	if w.ms == 0 {
		return "–"
	}
	return milliseconds(w.ms)
}

func wakeOf(s timeline.Summary, d timeline.Device) wake {
	w := wake{at: s.Began, ms: d.WokeMS, method: s.Method}
	switch {
	case d.Late:
		w.class, w.says = "f-wait", "came too late, after "+milliseconds(d.WokeMS)
	case !d.Woke.IsZero():
		w.class, w.says = "f-woke", "came after "+milliseconds(d.WokeMS)
	case s.State == timeline.StateWaiting:
		w.class, w.says = "f-rest", "is being woken"
	case s.Outcome == timeline.OutcomeCancelled && !d.TimedOut:
		w.class, w.says = "f-rest", "the caller gave up first"
	case d.Class != "" && d.Class != "ok":
		w.class, w.says = "f-failed", sayClass(d.Class, d.Reason)
	default:
		w.class, w.says = "f-failed", "did not come"
	}
	return w
}

// sayClass is the class of a push's outcome with the push service's word.
func sayClass(class, reason string) string {
	s := "push: " + strings.ReplaceAll(class, "_", " ")
	if reason != "" {
		s += ", " + reason
	}
	return s
}
