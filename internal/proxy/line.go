package proxy

import (
	"slices"

	"reveille/flow"
	"reveille/usrloc"
)

// A lineKey names the requests of one direction of one dialog to one device. The
// device is part of it, for the branches of a forked call share a Call-ID.
type lineKey struct {
	callID, fromTag, toTag string
	device                 usrloc.BindingID
}

// A line is the parked requests of one direction of one dialog, in the order in
// which they arrived. They leave in that order, all at once.
type line struct {
	key   lineKey
	lane  *lane
	queue []*branch
}

func (f *fork) lineKey() lineKey {
	m := f.s.Message()
	return lineKey{callID: m.CallID(), fromTag: m.FromTag(), toTag: m.ToTag(), device: f.device}
}

// queueUp puts a parked branch into its dialog's line. first is true if its push
// must wake the device.
func (b *branch) queueUp() (first bool) {
	f := b.fork
	if !f.inDialog {
		return true
	}
	key := f.lineKey()
	l := f.lane.lines[key]
	if l == nil {
		l = &line{key: key, lane: f.lane}
		f.lane.lines[key] = l
	}
	l.queue = append(l.queue, b)
	b.wait.line = l
	return len(l.queue) == 1
}

// leaveLine takes the branch out of its line.
func (b *branch) leaveLine() {
	l := b.wait.line
	if l == nil {
		return
	}
	b.wait.line = nil
	l.queue = slices.DeleteFunc(l.queue, func(x *branch) bool { return x == b })
	if len(l.queue) == 0 {
		delete(l.lane.lines, l.key)
		return
	}
	// The one whose push was to wake the device is gone; the next asks anew, and
	// the dispatcher joins the two if the first push is still on its way.
	if next := l.queue[0]; next.wait.pushed.IsZero() {
		next.push()
	}
}

// release sends everything in the line on to the device, which is now n, in
// order of arrival.
func (l *line) release(to flow.Flow, n *usrloc.Binding) {
	for _, b := range l.dissolve() {
		b.become(n)
		b.wakeAlone(to)
		b.fork.conclude()
	}
}

// dissolve ends the line and returns what waited in it, in order of arrival.
func (l *line) dissolve() []*branch {
	waiting := l.queue
	l.queue = nil
	delete(l.lane.lines, l.key)
	for _, b := range waiting {
		b.wait.line = nil
	}
	return waiting
}
