package main

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// The heap may grow by spareHeap, or by leastPercent of what lives if that is
// more, before garbage is collected; by mostPercent at most, because what lives
// is looked at only every heapEvery and may have grown meanwhile.
//
// Nearly all of what lives in a large store are registrations, in pages without
// pointers that cost a collection nothing: there a small percentage saves memory
// and takes no measurable time. A small heap with a small percentage would be
// collected all the time.
const (
	spareHeap    = 32 << 20
	leastPercent = 20
	mostPercent  = 400
	heapEvery    = time.Second
)

// gcPercent returns the percentage for a heap of which live bytes live.
func gcPercent(live uint64) int {
	return int(min(max(spareHeap*100/max(live, 1), leastPercent), mostPercent))
}

// keepHeapSmall keeps the garbage collector's percentage at what gcPercent says,
// unless the operator has set GOGC. The function that it returns ends that.
func (p program) keepHeapSmall() (end func()) {
	if _, set := p.lookupEnv("GOGC"); set {
		return func() {}
	}
	percent := gcPercent(liveHeap())
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
			if next := gcPercent(liveHeap()); next > percent*9/8 || next < percent*7/8 || next == leastPercent && percent != next {
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

// liveHeap returns how many bytes lived when garbage was last collected.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
