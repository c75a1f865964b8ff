// Package timeline remembers what became of the requests that met a sleeping phone:
// when each arrived, what was asked of which push service and with what answer, when
// the phone registered, where the request went then, how it ended, and what came too
// late. It answers the question that operators are asked most: why did this phone not
// ring?
//
// A Timeline is an event.Sink: nobody tells it anything but the events that all others
// get, too. What it keeps is bounded in number and bytes, and lost with the process.
// Verdict, a pure function, says of one Record in words what was the matter and what to
// do about it.
//
// The types below are what other programs get as JSON: fields may be added, and none
// changes its meaning. The doc tags are their documentation. No Record holds a token.
package timeline
