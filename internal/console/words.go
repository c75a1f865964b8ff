package console

import (
	"fmt"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"reveille/internal/admin"
	"reveille/internal/timeline"
)

// functions are what templates call.
func functions() template.FuncMap {
	return template.FuncMap{
		"ms": milliseconds, "number": number, "bytes": size, "percent": percent, "both": func(p page, x any) both { return both{p, x} },
		"name": shortName, "userURL": userURL, "callURL": callURL, "outcome": outcomeOf, "push": pushOf, "sentence": sentence,
		"provider": providerName, "lane": laneTone, "join": func(list []string) string { return strings.Join(list, ", ") }, "canonical": canonical,
		"float": func(n int64) float64 { return float64(n) }, "seconds": func(s float64) float64 { return s * 1000 },
		"plate": func(x float64) float64 { return x - plateWidth/2 }, "hold": func(x float64) float64 { return x - holdWidth/2 },
		"held": func(h hold) float64 { return h.Y + h.H/2 + 4 },
	}
}

// both is a page and one of the things on it, for templates that show a thing.
type both struct {
	P page
	X any
}

// A moment is the time that a page is made for. What it says of other times, the
// module goes on counting.
type moment struct{ time.Time }

// Stamp is the moment for machines.
func (m moment) Stamp() string { return m.UTC().Format("2006-01-02T15:04:05.000Z") }

// Ago says how long ago t was.
func (m moment) Ago(t time.Time) template.HTML {
	return element(t, "data-ago", words(m.Sub(t))+" ago")
}

// In says how far off t is, or how long ago it was.
func (m moment) In(t time.Time) template.HTML {
	if d := t.Sub(m.Time); d > 0 {
		return element(t, "data-in", "in "+words(d))
	}
	return element(t, "data-in", words(m.Sub(t))+" ago")
}

// Left counts down to t.
func (m moment) Left(t time.Time) template.HTML {
	return element(t, "data-left", words(t.Sub(m.Time)+time.Second-time.Millisecond))
}

// For counts up from t.
func (m moment) For(t time.Time) template.HTML { return element(t, "data-for", words(m.Sub(t))) }

// Clock is the time of t, with the day unless it is today. It is UTC, as in the log.
func (m moment) Clock(t time.Time) template.HTML {
	layout := "15:04:05"
	if t.UTC().YearDay() != m.UTC().YearDay() || t.UTC().Year() != m.UTC().Year() {
		layout = "2 Jan 15:04:05"
	}
	return element(t, "", t.UTC().Format(layout))
}

// Until is how many milliseconds are between two times, at least 1: what a progress
// bar has as its end.
func (m moment) Until(since, deadline time.Time) int64 {
	return max(1, deadline.Sub(since).Milliseconds())
}

// Remaining is how many milliseconds are left.
func (m moment) Remaining(deadline time.Time) int64 {
	return max(0, deadline.Sub(m.Time).Milliseconds())
}

// element is a time for people with that for machines. Nothing in it comes from
// outside.
func element(t time.Time, counts, text string) template.HTML {
	if t.IsZero() {
		return "never"
	}
	if counts != "" {
		counts = " " + counts
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s"%s>%s</time>`,
		t.Format("2006-01-02T15:04:05.000Z"), t.Format("Mon 2 Jan 2006 15:04:05 UTC"), counts, text))
}

// words says a duration as the module does.
func words(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < 2*day:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	}
	return strconv.Itoa(int(d/day)) + " d"
}

// seconds is a duration for Retry-After, rounded up.
func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

// milliseconds says a short time: 84 ms, 2.41 s, 45 s.
func milliseconds(ms float64) string {
	switch {
	case ms < 999.5:
		return strconv.Itoa(int(math.Round(ms))) + " ms"
	case ms < 9995:
		return strconv.FormatFloat(ms/1000, 'f', 2, 64) + " s"
	case ms < 99950:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	}
	return words(time.Duration(ms) * time.Millisecond)
}

// number groups digits: 12,480.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func size(n int64) string {
	switch {
	case n < 1<<10:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<10), 'f', 1, 64) + " KiB"
	}
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
}

// percent rounds down, so that 100 % means all.
func percent(part, whole int) string {
	if whole == 0 {
		return "–"
	}
	p := math.Floor(float64(part)/float64(whole)*1000) / 10
	return strconv.FormatFloat(p, 'f', -1, 64) + " %"
}

// shortName is an AOR or URI as people write it.
func shortName(uri string) string {
	uri = strings.TrimPrefix(uri, "sip:")
	return uri
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	r, n := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(r)) + s[n:]
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}

func userURL(aor string) string { return Path + "user?aor=" + url.QueryEscape(aor) }

func callURL(id string) string { return Path + "calls/" + url.PathEscape(id) }

// A tone is a word with how it looks: "good", "bad", "warn", "wait", "asleep" or "".
type tone struct{ Class, Text string }

// outcomeOf says what became of a request.
func outcomeOf(s timeline.Summary) tone {
	switch {
	case s.State == timeline.StateWaiting:
		return tone{"wait", "waiting"}
	case s.State == timeline.StateDelivered:
		return tone{"wait", "ringing"}
	case s.Outcome == timeline.OutcomeAnswered:
		return tone{"good", "answered"}
	case s.Outcome == timeline.OutcomeKept:
		return tone{"good", "kept"}
	case s.Outcome == timeline.OutcomeDiverted:
		return tone{"warn", "diverted"}
	case s.Outcome == timeline.OutcomeCancelled:
		return tone{"warn", "cancelled"}
	}
	return tone{"bad", "failed"}
}

// pushOf says how far the wake of a phone is that somebody waits for.
func pushOf(class string) tone {
	switch class {
	case "":
		return tone{"wait", "push under way"}
	case "ok":
		return tone{"asleep", "push taken"}
	case admin.NotSent:
		return tone{"bad", "no push"}
	}
	return tone{"bad", "push " + strings.ReplaceAll(class, "_", " ")}
}

// providerName is a push service as its maker writes it.
func providerName(p string) string {
	switch p {
	case "":
		return "none"
	case "apns":
		return "APNs"
	case "fcm":
		return "FCM"
	case "webpush":
		return "Web Push"
	}
	return p
}
