package proxy

import (
	"maps"
	"slices"
	"strings"

	"reveille/internal/sipmsg"
)

// This file is about event packages (RFC 6665) in requests outside of a dialog.

// eventPackage is the package that a request is about, empty if it names none, or
// more than one (RFC 6665 §8.2.1).
func eventPackage(m *sipmsg.Message) string {
	name, found := "", 0
	for v := range m.Values(sipmsg.HdrEvent) {
		name, _, _ = strings.Cut(v, ";")
		found++
	}
	if found != 1 {
		return ""
	}
	return strings.TrimSpace(name)
}

// toEventServer sends a SUBSCRIBE or PUBLISH for a user of ours to the server for its
// package. Phones get none: who subscribes wants to know of the user, awake or not.
func (f *fork) toEventServer(a Admission) {
	o, m := f.p.opts(), f.s.Message()
	name := eventPackage(m)
	if route, ok := o.EventRoutes[name]; ok && name != "" {
		if r, ok := f.p.routeNamed(route); ok {
			f.along(r, a)
			return
		}
		f.misdirected("no such route", route)
		return
	}
	if f.method == "PUBLISH" && len(o.EventRoutes) == 0 {
		f.refuse(sipmsg.Reply{Code: 405, Headers: []sipmsg.HeaderField{{Name: "Allow", Value: allow}}})
		return
	}
	// RFC 6665 §4.2.1.1, RFC 3903 §6: nobody here knows the package.
	r := sipmsg.Reply{Code: 489}
	if known := o.eventPackages(); known != "" {
		r.Headers = []sipmsg.HeaderField{{Name: "Allow-Events", Value: known}}
	}
	f.refuse(r)
}

// eventPackages lists the packages that are known here (RFC 6665 §4.4.4).
func (o *Options) eventPackages() string {
	known := slices.AppendSeq(slices.Clone(o.Events), maps.Keys(o.EventRoutes))
	slices.Sort(known)
	return strings.Join(known, ", ")
}

// wakesByEvent reports whether a NOTIFY outside of a dialog, such as that of a
// voicemail which nobody subscribed to (RFC 3842), wakes a phone.
func (f *fork) wakesByEvent() bool {
	return f.method == "NOTIFY" && !f.inDialog && slices.Contains(f.p.opts().WakeEvents, eventPackage(f.s.Message()))
}
