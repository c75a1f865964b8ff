package console

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"reveille/internal/timeline"
)

// A ladder is the way of a request as a picture: one line down for each who takes part,
// time downwards, and an arrow for each message. Long waits are drawn longer than short
// ones, not in proportion: a call rings for half a minute and its messages take
// milliseconds.
type ladder struct {
	Width, Height float64
	Lanes         []lane
	// Top and Bottom are where the lines of the lanes begin and end.
	Top, Bottom float64
	Rungs       []rung
	Holds       []hold
	Desc        string
}

// A lane is one who takes part.
type lane struct {
	X    float64
	Name string
}

// A rung is a message from one lane to another, or something that happens in one.
type rung struct {
	Y        float64
	At       string
	From, To float64 // equal: a dot
	Says     string
	Class    string // "good", "bad" or ""
	// Guessed says that nobody saw it: a push service does not tell when it delivers.
	Guessed bool
	// Tip is the head of the arrow, the points of a triangle.
	Tip string
	// Middle is where the words are.
	Middle float64
}

// A hold is the time that the request waits for a phone.
type hold struct {
	X, Y, H float64
	Says    string
}

// Places of lanes, from left to right.
const (
	laneCaller = iota
	laneServer
	lanePush
	lanePhone
)

// Distances in the picture.
const (
	ladderLeft   = 88.0
	ladderTop    = 44.0
	laneWidth    = 172.0
	rungHeight   = 34.0
	rungStretch  = 13.0
	longestWait  = 96.0
	shownPhones  = 3
	laneHalf     = 86.0
	arrowLength  = 8.0
	arrowBreadth = 4.0
	plateWidth   = 120.0
	holdWidth    = 8.0
)

// drawLadder draws a record.
func drawLadder(r *timeline.Record) ladder {
	phones := phonesOf(r)
	names := []string{"Caller", "reveille", "Push service"}
	for i := range min(len(phones), shownPhones) {
		name := "Phone"
		if len(phones) > 1 {
			name += " " + strconv.Itoa(i+1)
		}
		names = append(names, name)
	}
	if len(phones) == 0 {
		names = append(names, "Phone")
	}
	l := ladder{Top: ladderTop, Width: ladderLeft + float64(len(names))*laneWidth}
	for i, name := range names {
		l.Lanes = append(l.Lanes, lane{ladderLeft + float64(i)*laneWidth + laneHalf, name})
	}
	d := drawing{ladder: &l, phones: phones, waits: map[string]wait{}, y: ladderTop}
	for i := range r.Steps {
		d.step(r, i)
	}
	l.Bottom = d.y + rungHeight
	if r.State == timeline.StateWaiting {
		l.Bottom += rungHeight
		for _, w := range d.waits {
			l.Holds = append(l.Holds, hold{d.x(laneServer), w.y, l.Bottom - w.y, "waits"})
		}
	}
	l.Height = l.Bottom + 8
	l.Desc = fmt.Sprintf("%s from %s, %d steps, listed below in words.", r.Method, shortName(r.From), len(r.Steps))
	return l
}

// phonesOf lists the phones of a record in the order in which they appear.
func phonesOf(r *timeline.Record) (ids []string) {
	seen := map[string]bool{"": true}
	for _, s := range r.Steps {
		if !seen[s.Binding] {
			seen[s.Binding] = true
			ids = append(ids, s.Binding)
		}
	}
	return ids
}

// A drawing is a ladder under way.
type drawing struct {
	*ladder
	phones []string
	waits  map[string]wait // by binding
	y      float64
	last   time.Time
}

type wait struct {
	y     float64
	since time.Time
}

func (d *drawing) x(lane int) float64 { return d.Lanes[min(lane, len(d.Lanes)-1)].X }

// phone is the lane of a phone.
func (d *drawing) phone(binding string) int {
	for i, p := range d.phones {
		if p == binding {
			return lanePhone + min(i, shownPhones-1)
		}
	}
	return lanePhone
}

// step draws a step, unless another says the same.
func (d *drawing) step(r *timeline.Record, i int) {
	s := &r.Steps[i]
	g, ok := d.rungOf(r, s)
	if ok {
		if d.last.IsZero() {
			d.y += rungHeight
		} else {
			d.y += rungHeight + min(longestWait, rungStretch*math.Log2(1+s.At.Sub(d.last).Seconds()*10))
		}
		d.last = s.At
		g.Y, g.At = d.y, "+"+milliseconds(s.OffsetMS)
		g.Middle = (g.From + g.To) / 2
		if g.From == g.To {
			g.Middle = g.From
		} else {
			g.Tip = arrowHead(g.From, g.To, g.Y)
		}
		d.Rungs = append(d.Rungs, g)
	}
	d.wait(s)
}

// wait begins and ends the times that the request waits.
func (d *drawing) wait(s *timeline.Step) {
	switch s.Kind {
	case timeline.StepParked:
		d.waits[s.Binding] = wait{d.y, s.At}
	case timeline.StepReleased, timeline.StepTimedOut:
		d.release(s.Binding, s.At)
	case timeline.StepCancelled, timeline.StepFailed, timeline.StepRefused, timeline.StepAnswered, timeline.StepDiverted:
		for b := range d.waits {
			d.release(b, s.At)
		}
	}
}

func (d *drawing) release(binding string, at time.Time) {
	w, ok := d.waits[binding]
	if !ok {
		return
	}
	delete(d.waits, binding)
	d.Holds = append(d.Holds, hold{d.x(laneServer), w.y, max(d.y-w.y, 4), "waits " + milliseconds(float64(at.Sub(w.since).Microseconds())/1000)})
}

// rungOf says who tells whom what in a step; not ok if it is not drawn.
func (d *drawing) rungOf(r *timeline.Record, s *timeline.Step) (g rung, ok bool) {
	arrow := func(from, to int, says string) (rung, bool) {
		return rung{From: d.x(from), To: d.x(to), Says: says}, true
	}
	toned := func(class string, from, to int, says string) (rung, bool) {
		return rung{From: d.x(from), To: d.x(to), Says: says, Class: class}, true
	}
	phone := d.phone(s.Binding)
	switch s.Kind {
	case timeline.StepReceived:
		return arrow(laneCaller, laneServer, r.Method)
	case timeline.StepForwarded, timeline.StepReleased:
		return arrow(laneServer, phone, r.Method)
	case timeline.StepSilent:
		return toned("bad", phone, phone, "says nothing")
	case timeline.StepPush:
		return arrow(laneServer, lanePush, "push")
	case timeline.StepAttempt:
		if s.Class != "" && s.Class != "ok" {
			return toned("bad", lanePush, laneServer, attempt(s))
		}
		return arrow(lanePush, laneServer, attempt(s))
	case timeline.StepPushOutcome:
		if s.Class == "ok" {
			return rung{From: d.x(lanePush), To: d.x(phone), Says: "wake", Guessed: true}, true
		}
		return toned("bad", lanePush, lanePush, sayClass(s.Class, s.Reason)[len("push: "):])
	case timeline.StepReport:
		return arrow(lanePush, laneServer, "report: "+s.Reason)
	case timeline.StepRegister:
		return toned("good", phone, laneServer, "REGISTER")
	case timeline.StepUnregister:
		return toned("bad", phone, laneServer, "registration ends")
	case timeline.StepUnreachable:
		return toned("bad", phone, phone, "nothing wakes it")
	case timeline.StepBranchEnded:
		return toned("bad", phone, laneServer, status(s, s.Status, s.Reason))
	case timeline.StepElsewhere:
		return toned("bad", phone, laneServer, "REGISTER, another user")
	case timeline.StepLate:
		return toned("bad", phone, laneServer, "REGISTER, too late")
	case timeline.StepRinging:
		return arrow(phone, laneCaller, status(s, 180, "Ringing"))
	case timeline.StepRingback:
		return arrow(laneServer, laneCaller, "180 while it wakes")
	case timeline.StepTimedOut:
		return toned("bad", laneServer, laneServer, "gives up waiting")
	case timeline.StepDiverted:
		return arrow(laneServer, laneServer, "goes elsewhere")
	case timeline.StepAnswered:
		return toned("good", phone, laneCaller, status(s, 200, "OK"))
	case timeline.StepCancelled:
		return toned("bad", laneCaller, laneServer, "CANCEL")
	case timeline.StepFailed, timeline.StepRefused:
		return toned("bad", laneServer, laneCaller, status(s, r.Status, s.Reason))
	}
	// Parked and woken are the ends of a wait, which is drawn as such.
	return rung{}, false
}

func attempt(s *timeline.Step) string {
	says := ""
	if s.Status > 0 {
		says = strconv.Itoa(s.Status)
	}
	if s.Reason != "" {
		says += " " + s.Reason
	} else if says == "" {
		says = s.Class
	}
	return says
}

func status(s *timeline.Step, otherwise int, phrase string) string {
	code := s.Status
	if code == 0 {
		code = otherwise
	}
	if s.Reason != "" {
		phrase = s.Reason
	}
	return strconv.Itoa(code) + " " + phrase
}

func arrowHead(from, to, y float64) string {
	back := arrowLength
	if to > from {
		back = -arrowLength
	}
	return fmt.Sprintf("%.1f,%.1f %.1f,%.1f %.1f,%.1f", to, y, to+back, y-arrowBreadth, to+back, y+arrowBreadth)
}

// spent is where the time of a record went, for the phone that was there first.
func spent(r *timeline.Record, now time.Time) chart {
	end := r.Ended
	if end.IsZero() {
		end = now
	}
	var parts []part
	at := r.Began
	until := func(t time.Time, class, what string) {
		if t.IsZero() || !t.After(at) {
			return
		}
		ms := float64(t.Sub(at).Microseconds()) / 1000
		parts = append(parts, part{ms, class, what + " " + milliseconds(ms)})
		at = t
	}
	if d := firstAwake(r.Devices); d != nil {
		until(d.Asked, "f-rest", "look-up")
		until(d.Taken, "f-push", "push service")
		if d.Late {
			until(end, "f-wait", "waiting for the phone")
			until(d.Woke, "f-rest", "until it came")
			return share("spent", "Where the time went", parts)
		}
		until(d.Woke, "f-wait", "phone wakes")
		until(d.Ringing, "f-dormant", "until it rings")
		if d.Ringing.IsZero() && d.Woke.IsZero() {
			until(end, "f-wait", "waiting for the phone")
		} else {
			until(end, "f-ring", "ringing")
		}
	}
	return share("spent", "Where the time went", parts)
}

// firstAwake is the device that was back first, or the first of all.
func firstAwake(ds []timeline.Device) *timeline.Device {
	var first *timeline.Device
	for i := range ds {
		d := &ds[i]
		if first == nil || !d.Woke.IsZero() && (first.Woke.IsZero() || d.Woke.Before(first.Woke)) {
			first = d
		}
	}
	return first
}
