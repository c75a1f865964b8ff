package main

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// The heap may grow by spareHeap, by leastPercent of what lives, or by
// scannedPercent of what of it a collection looks at, whichever is most, before
// garbage is collected; by mostPercent at most, because what lives is looked at
// only every heapEvery and may have grown meanwhile.
//
// Nearly all of what lives in a large store are registrations, in pages without
// pointers that cost a collection nothing: there a small percentage saves memory
// and takes no measurable time. A small heap with a small percentage would be
// collected all the time. Transactions are the opposite, full of pointers: a
// thousand calls a second leave hundreds of megabytes of them, and to look at them
// all for each small part more would take longer than the calls.
const (
	spareHeap      = 32 << 20
	leastPercent   = 20
	scannedPercent = 150
	mostPercent    = 400
	heapEvery      = time.Second
)

// gcPercent returns the percentage for a heap of which live bytes live, and of
// which a collection looks at scanned bytes.
func gcPercent(live, scanned uint64) int {
	live = max(live, 1)
	spare := max(spareHeap, min(scanned, live)/100*scannedPercent)
	return int(min(max(spare*100/live, leastPercent), mostPercent))
}

// keepHeapSmall keeps the garbage collector's percentage at what gcPercent says,
// unless the operator has set GOGC. The function that it returns ends that.
func (p program) keepHeapSmall() (end func()) {
	if _, set := p.lookupEnv("GOGC"); set {
		return func() {}
	}
	percent := gcPercent(heapSize())
	before := debug.SetGCPercent(percent)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(heapEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			// To set it stops the program for a moment: not for trifles.
			if next := gcPercent(heapSize()); next > percent*9/8 || next < percent*7/8 || next == leastPercent && percent != next {
				percent = next
				debug.SetGCPercent(percent)
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
		debug.SetGCPercent(before)
	}
}

// heapSize returns how many bytes lived when garbage was last collected, and how
// many of them that looked at.
func heapSize() (live, scanned uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(samples)
	for i, n := range []*uint64{&live, &scanned} {
		if samples[i].Value.Kind() == metrics.KindUint64 {
			*n = samples[i].Value.Uint64()
		}
	}
	return live, scanned
}
