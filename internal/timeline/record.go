package timeline

import (
	"container/list"
	"strconv"
	"time"

	"reveille/internal/event"
)

// Bounds of one Record.
const (
	// maxSteps is enough for a call to ten phones; of one that goes on for ever, the
	// beginning and the last steps are of use. What does not fit is counted.
	maxSteps = 96
	// lastSteps are kept free for how it ended.
	lastSteps = 16
	// maxDevices bounds the phones.
	maxDevices = 24
	// maxRefused bounds how often one Record says that a REGISTER was refused: a phone
	// with a wrong password tries for ever.
	maxRefused = 4
)

// A record is a Record as it is kept. Its shard's mu guards it.
type record struct {
	Summary
	shard  *shard
	number uint64
	quota  quota
	steps  []step
	// resolved says for each of Devices that the hour knows how it ended.
	resolved []bool
	dropped  int
	refusals int
	bytes    int
	// watched: somebody looks whether its phones come late.
	watched bool
	// told: its end was noted for Explain.
	told bool

	in           *list.List
	place        *list.Element
	older, newer *record // of the same Call-ID
	// filed is the user with whose Records it is found, and ofUser its place there, which
	// that list's mu guards.
	filed  string
	ofUser *list.Element
}

// A step is a Step as it is kept.
type step struct {
	at      time.Duration // since the Record began
	took    time.Duration
	kind    string
	device  int8 // index in Devices, -1 if none is concerned
	attempt int8
	status  int16
	class   string
	reason  string
	flow    string
}

// Sizes for the bound of memory, in bytes: what the compiler makes of the structs, and
// what the maps and lists take.
const (
	sizeRecord = 1000
	sizeDevice = 600
	sizeStep   = 104
)

func formatID(number uint64) string { return strconv.FormatUint(number, 36) }

func (r *record) size() int {
	n := sizeRecord + 2*(len(r.CallID)+len(r.From)+len(r.To)+len(r.AOR)) + cap(r.steps)*sizeStep + cap(r.Devices)*sizeDevice
	for i := range r.steps {
		n += len(r.steps[i].flow) + len(r.steps[i].reason)
	}
	return n
}

// add notes a step of now.
func (r *record) add(now time.Time, s step) {
	bound := maxSteps - lastSteps
	switch s.kind {
	case StepAnswered, StepCancelled, StepFailed, StepRefused, StepLate, StepTimedOut, StepDiverted:
		bound = maxSteps
	}
	if len(r.steps) >= bound {
		r.dropped++
		return
	}
	s.at = now.Sub(r.Began)
	if len(r.steps) == 0 {
		r.steps = make([]step, 0, 8)
	}
	r.steps = append(r.steps, s)
}

// device returns the index of a phone, -1 if it is unknown.
func (r *record) device(binding string) int {
	if binding == "" {
		return -1
	}
	for i := range r.Devices {
		if r.Devices[i].Binding == binding {
			return i
		}
	}
	return -1
}

// sleeper returns the index of the phone that an event tells of, which is new, maybe;
// -1 if there are too many.
func (r *record) sleeper(e *event.Call) int {
	i := r.device(e.Binding)
	if i < 0 {
		if len(r.Devices) >= maxDevices || e.Binding == "" {
			return -1
		}
		i = len(r.Devices)
		r.Devices = append(r.Devices, Device{Binding: e.Binding, AOR: e.AOR})
		r.resolved = append(r.resolved, false)
	}
	d := &r.Devices[i]
	if s := e.Sleeper; s != nil {
		d.Provider = event.Text(s.Provider)
		if d.Instance == "" {
			// It is found by the first one that it had.
			d.Instance = event.Text(s.Instance)
		}
		if !s.Deadline.IsZero() {
			d.Deadline = s.Deadline.UTC()
		}
	}
	return i
}

// take notes a step of the request.
func (r *record) take(e *event.Call, now time.Time) {
	if e.Lookup != "" {
		r.Lookup, r.Phones = e.Lookup, e.Phones
	}
	if r.AOR == "" {
		r.AOR = e.AOR
	}
	r.Asleep = r.Asleep || e.Asleep
	if len(r.steps) == 0 && e.Step != "received" {
		// It is told of from here on, for nothing was the matter before.
		r.add(r.Began, step{kind: StepReceived, device: -1})
	}
	s := step{kind: e.Step, device: int8(r.device(e.Binding)), status: int16(e.Status), reason: event.Text(e.Reason)}
	if !e.Flow.IsZero() {
		s.flow = e.Flow.String()
	}
	switch e.Step {
	case "received", "ringback", "diverted":
	case "parked", "silent":
		s.device = int8(r.sleeper(e))
		r.wait(int(s.device), now)
	case "woken":
		s.took = e.Elapsed
		r.woken(int(s.device), e, now)
	case "released", "forwarded":
		if d := r.at(s.device); d != nil {
			d.Sent = now.UTC()
		}
	case "ringing":
		s.reason = ""
		if d := r.at(s.device); d != nil {
			d.Ringing = now.UTC()
			r.resolve(int(s.device), "")
		}
	case "timed_out":
		if d := r.at(s.device); d != nil {
			d.TimedOut = true
			r.resolve(int(s.device), FailedTimeout)
		}
	case "branch_ended":
		if !r.branchEnded(e, &s, now) {
			return
		}
	case "answered":
		if d := r.at(s.device); d != nil {
			d.Answer = e.Status
			r.resolve(int(s.device), "")
		}
		r.add(now, s)
		r.end(e, now)
		return
	case "cancelled":
		s.kind = StepCancelled
		r.Outcome = OutcomeCancelled
	case "failed", "refused":
		r.Rule = e.Rule.String()
		if len(r.steps) == 1 && s.flow != "" {
			r.steps[0].flow, s.flow = s.flow, ""
		}
		r.add(now, s)
		r.end(e, now)
		return
	}
	r.add(now, s)
	r.standing()
}

// at is the phone of that index, nil if it is none.
func (r *record) at(i int8) *Device {
	if i < 0 || int(i) >= len(r.Devices) {
		return nil
	}
	return &r.Devices[i]
}

// wait notes that the request waits for a phone.
func (r *record) wait(i int, now time.Time) {
	if i < 0 {
		return
	}
	d := &r.Devices[i]
	d.Parked, d.TimedOut, r.resolved[i] = now.UTC(), false, false
	until := d.Deadline.Add(lateFor)
	r.shard.t.awaited.add(d.AOR, r, until, now)
	r.shard.t.awaited.add(instanceKey(d.Instance), r, until, now)
}

// woken notes that a phone is back for which the request waits.
func (r *record) woken(i int, e *event.Call, now time.Time) {
	d := r.at(int8(i))
	if d == nil {
		return
	}
	d.Woke, d.WokeMS, d.Flow = now.UTC(), milliseconds(e.Elapsed), e.Flow.String()
	if !d.Asked.IsZero() && !r.resolved[i] {
		r.shard.hour.at(now).woke(e.Elapsed)
		r.shard.t.metrics.woke.Inc()
		r.resolved[i] = true
	}
}

// branchEnded notes how it ended for one phone. It reports false if the step says
// nothing that is not said by another.
func (r *record) branchEnded(e *event.Call, s *step, now time.Time) bool {
	if e.Status == 487 && !e.Phone {
		return false // The others are told so when somebody takes the call.
	}
	i := r.sleeper(e)
	s.device, s.class = int8(i), ownWord
	if e.Phone {
		s.class = phonesWord
	}
	d := r.at(s.device)
	if d == nil {
		return e.Phone
	}
	// It is not waited for any more, whatever became of its push.
	defer r.resolve(i, "")
	switch {
	case e.Sleeper != nil && e.Sleeper.Lacks != "":
		d.Class, d.Reason = NotSent, e.Sleeper.Lacks
		r.resolve(i, NotSent)
		s.kind, s.reason = StepUnreachable, e.Sleeper.Lacks
		return true
	case e.Phone:
		d.Answer = e.Status
		return true
	case d.TimedOut, d.Class != "" && d.Class != classOK && d.Class != classForbidden:
		return false // Another step has said so.
	}
	d.End = s.reason
	return true
}

// Whose word a step of the kind StepBranchEnded is.
const (
	ownWord    = "server"
	phonesWord = "phone"
)

// end notes the end of the request.
func (r *record) end(e *event.Call, now time.Time) {
	if r.State == StateEnded {
		return // A second 2xx, or a MESSAGE that goes on to other phones.
	}
	cancelled, diverted := r.Outcome == OutcomeCancelled, r.has(StepDiverted)
	r.State, r.Ended, r.Status, r.Reason = StateEnded, now.UTC(), e.Status, event.Text(e.Reason)
	r.Phone = e.Phone || e.Step == "answered"
	switch {
	case e.Step == "answered" && e.Status == 202 && e.Reason == "Kept":
		r.Outcome = OutcomeKept
	case e.Step == "answered" && diverted && r.device(e.Binding) < 0:
		r.Outcome = OutcomeDiverted
	case e.Step == "answered":
		r.Outcome = OutcomeAnswered
	case cancelled || e.Status == 487 && !e.Phone:
		r.Outcome = OutcomeCancelled
	default:
		r.Outcome = OutcomeFailed
	}
	if r.Method == "MESSAGE" && e.Step == "answered" {
		return // It waits for the other phones.
	}
	for i := range r.Devices {
		r.resolve(i, FailedCancelled)
	}
}

func (r *record) has(kind string) bool {
	for i := range r.steps {
		if r.steps[i].kind == kind {
			return true
		}
	}
	return false
}

// resolve tells the hour once how the wait for a phone ended; an empty class says that
// nothing failed.
func (r *record) resolve(i int, class string) {
	if i < 0 || r.resolved[i] {
		return
	}
	r.resolved[i] = true
	if d := &r.Devices[i]; class == "" || d.Asked.IsZero() && (class != NotSent || d.Provider == "") {
		return
	}
	r.shard.hour.at(time.Now()).fail(class)
	r.shard.t.metrics.failed.WithLabelValues(class).Inc()
}

// standing sets the state of a request that has not ended.
func (r *record) standing() {
	if r.State == StateEnded {
		return
	}
	r.State = StateDelivered
	for i := range r.Devices {
		if !r.resolved[i] {
			r.State = StateWaiting
		}
	}
}

// inVain returns the users whose phones were waited for in vain by a request that has
// just ended.
func (r *record) inVain() (aors []string) {
	if r.State != StateEnded || r.watched {
		return nil
	}
	r.watched = true
	for i := range r.Devices {
		if d := &r.Devices[i]; d.Woke.IsZero() && !d.Asked.IsZero() && d.Ringing.IsZero() && d.Class != classGone {
			aors = append(aors, d.AOR)
		}
	}
	return aors
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
