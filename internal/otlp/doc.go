// Package otlp tells a collector of OpenTelemetry what became of the requests that met a
// sleeping phone: a span for each Record of the timeline that has ended, with one for
// every phone that was waited for and one for every push attempt below it.
//
// An Exporter is an event.Sink that does no more than to note the ID of the Record of a
// request that was explained. A goroutine looks it up and hands its spans to the batch processor of OpenTelemetry's SDK. What that
// cannot keep up with is lost, and counted; no request waits. There is nothing in the
// spans that is not in the timeline, and so no push token.
package otlp
