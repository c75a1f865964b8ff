package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"reveille/push"
	"reveille/push/apns"
	"reveille/push/fcm"
	"reveille/push/pushsim"
	"reveille/push/webpush"
)

// pushOptions say how much is pushed.
type pushOptions struct {
	only    string // part of the names
	rounds  int
	pushes  int           // of each contender in each round
	cold    int           // in the burst on a new connection
	seconds time.Duration // of pushes beside a lane that is stuck, and as long without
}

// Of every measurement.
const (
	pushWorkers = 64   // pushes under way
	besideRate  = 1000 // pushes a second beside a lane that is stuck
	stuckPushes = 2000 // on that lane
	// pairedWindow is how long either has the word: what else the machine does
	// falls on both.
	pairedWindow = 250 * time.Millisecond
	// pushHeap is what a server has in memory besides, in bytes: in a process with
	// nothing else the collector runs after every few hundred pushes.
	pushHeap = 64 << 20
)

// A pushContender is one way to push. send makes one push and waits for its end.
type pushContender struct {
	name string
	raw  bool // a plain POST of the same body, which the next ones are compared with
	send func() error
}

// A pushResult is what one contender came to, by round.
type pushResult struct {
	name              string
	raw               bool
	cpu, allocs, size []float64 // µs, allocations and bytes of a push
	ratio             []float64 // to the raw one of the same round
}

// pushes measures them all.
func pushes(on int, o pushOptions, progress io.Writer) (string, error) {
	at, err := startServices(on)
	if err != nil {
		return "", err
	}
	body, err := pushesAt(at, o, progress)
	return body, errors.Join(err, at.stop())
}

func pushesAt(at *services, o pushOptions, progress io.Writer) (string, error) {
	sim, err := pushsim.Start(pushsim.Options{})
	if err != nil {
		return "", err
	}
	defer func() { _ = sim.Close() }()
	w, err := newPushWorld(at, sim)
	if err != nil {
		return "", err
	}
	defer w.close()
	contenders, err := w.contenders()
	if err != nil {
		return "", err
	}
	contenders = slices.DeleteFunc(contenders, func(c pushContender) bool { return !strings.Contains(c.name, o.only) })
	heap := make([]byte, pushHeap)
	defer runtime.KeepAlive(heap)
	results := make([]pushResult, len(contenders))
	var cold []float64
	var p99 [2][]float64 // alone, and beside a lane that is stuck
	for round := range o.rounds {
		fmt.Fprintf(progress, "pushes, round %d of %d\n", round+1, o.rounds)
		var raw float64
		for i, c := range contenders {
			r := &results[i]
			r.name, r.raw = c.name, c.raw
			cpu, allocs, size, err := expend(c, o.pushes)
			if err != nil {
				return "", fmt.Errorf("%s: %w", c.name, err)
			}
			r.cpu, r.allocs, r.size = append(r.cpu, cpu), append(r.allocs, allocs), append(r.size, size)
			if c.raw {
				raw = cpu
			} else {
				r.ratio = append(r.ratio, cpu/raw)
			}
		}
		ms, err := w.burst(o.cold)
		if err != nil {
			return "", err
		}
		cold = append(cold, ms)
		both, err := w.besideStuck(o.seconds)
		if err != nil {
			return "", err
		}
		for i := range both {
			p99[i] = append(p99[i], both[i]...)
		}
	}
	return pushTable(results, o, cold, p99[0], p99[1]), nil
}

// expend makes n pushes and returns what one costs.
func expend(c pushContender, n int) (cpu, allocs, size float64, err error) {
	// Connections, keys and tokens are there before.
	if err := spread(c, pushWorkers); err != nil {
		return 0, 0, 0, err
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := ownCPU()
	err = spread(c, n)
	used := ownCPU() - began
	runtime.ReadMemStats(&after)
	per := float64(n)
	return float64(used.Nanoseconds()) / 1000 / per, float64(after.Mallocs-before.Mallocs) / per, float64(after.TotalAlloc-before.TotalAlloc) / per, err
}

// spread makes n pushes, pushWorkers at a time.
func spread(c pushContender, n int) error {
	var wg sync.WaitGroup
	errs := make([]error, pushWorkers)
	for worker := range pushWorkers {
		wg.Go(func() {
			for i := worker; i < n && errs[worker] == nil; i += pushWorkers {
				errs[worker] = c.send()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// pushWorld holds a Sender for each service.
type pushWorld struct {
	at      *services
	sim     *pushsim.Server
	apple   *apns.Sender
	google  *fcm.Sender
	web     *webpush.Sender
	plain   *http.Client
	through *push.Dispatcher
	phones  atomic.Int64 // pushed to so far
}

func newPushWorld(at *services, sim *pushsim.Server) (*pushWorld, error) {
	w := &pushWorld{at: at, sim: sim}
	var err error
	if w.apple, err = w.newApple(at.URL, at.CA); err != nil {
		return nil, err
	}
	if w.google, err = fcm.New(context.Background(), fcm.Options{
		ServiceAccountJSON: bytes.ReplaceAll(sim.ServiceAccountJSON(), []byte(sim.TokenURL()), []byte(at.URL+"/token")),
		Endpoint:           at.URL + "/v1", RootCAs: roots(at.CA),
	}); err != nil {
		return nil, err
	}
	if w.web, err = webpush.New(webpush.Options{
		VAPIDPublic: sim.Credentials().VAPIDPublic(), VAPIDPrivate: sim.Credentials().VAPIDPrivate(), Subscriber: pushsim.Subscriber,
		AllowedHosts: []string{"127.0.0.1"}, AllowPrivate: true, RootCAs: roots(at.CA),
	}); err != nil {
		return nil, err
	}
	w.plain = &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots(at.CA), MinVersion: tls.VersionTLS12}}}
	w.through, err = push.NewDispatcher(push.Options{Apps: []push.App{
		{Name: "apple", Provider: "apns", Sender: w.apple},
		{Name: "google", Provider: "fcm", Sender: w.google, InFlight: push.DefaultInFlight},
		{Name: "web", Provider: "webpush", Sender: w.web},
	}})
	return w, err
}

func (w *pushWorld) newApple(host, ca string) (*apns.Sender, error) {
	return apns.New(apns.Options{
		KeyP8: w.sim.Credentials().KeyP8(), KeyID: pushsim.KeyID, TeamID: pushsim.TeamID, Host: host, RootCAs: roots(ca),
	})
}

func (w *pushWorld) close() {
	// What is stuck is not waited for.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.through.Close(ctx)
	w.plain.CloseIdleConnections()
}

// call is a push for a call to a phone of a service that nobody called before:
// two to the same one would be one wake.
func (w *pushWorld) call(provider string) *push.Request {
	r := &push.Request{
		AOR: "sip:alice@example.com", Params: push.Params{Provider: provider}, Kind: push.Call, Method: "INVITE",
		CallID: "a84b4c76e66710@192.0.2.1", PushID: "JBSWY3DPEHPK3PXPJBSWY3DPEH", Deadline: time.Now().Add(25 * time.Second),
	}
	id := strconv.FormatInt(0x1000000+w.phones.Add(1), 16)
	switch provider {
	case "apns":
		r.Params.Param = pushsim.TeamID + "." + pushsim.BundleID + ".voip"
		r.Tokens = []push.Token{{PRID: "a" + strings.Repeat("b2", 28) + id, Use: push.VoIP}}
	case "fcm":
		r.Params.Param = pushsim.ProjectID
		r.Tokens = []push.Token{{PRID: "dEvIcE" + id + ":APA91b" + strings.Repeat("Hun4MxP5eg", 13)}}
	default:
		r.Tokens = []push.Token{{PRID: w.at.URL + "/wp/" + strings.Repeat("gAAAAABk", 16) + id}}
	}
	return r
}

// contenders are for each service a plain POST of the same body, its Sender, and
// the Sender behind the Dispatcher.
func (w *pushWorld) contenders() ([]pushContender, error) {
	var all []pushContender
	for _, c := range []struct {
		provider, name, path string
		sender               push.Sender
		header               map[string]string
	}{
		{"apns", "APNs", "/3/device/a" + strings.Repeat("b2", 28), w.apple, map[string]string{
			"Authorization": "bearer " + strings.Repeat("a", 180), "Apns-Topic": pushsim.BundleID + ".voip", "Apns-Push-Type": "voip",
			"Apns-Priority": "10", "Apns-Expiration": "1700000000", "Apns-Collapse-Id": strings.Repeat("c", 32),
		}},
		{"fcm", "FCM", "/v1/projects/" + pushsim.ProjectID + "/messages:send", w.google, map[string]string{
			"Authorization": "Bearer ya29." + strings.Repeat("a", 160),
		}},
		{"webpush", "Web Push", "/wp/" + strings.Repeat("gAAAAABk", 16), w.web, map[string]string{
			"Authorization": "vapid t=" + strings.Repeat("a", 220) + ", k=" + strings.Repeat("a", 87), "Ttl": "25",
			"Urgency": "high", "Topic": strings.Repeat("c", 32),
		}},
	} {
		body, err := w.body(c.provider)
		if err != nil {
			return nil, err
		}
		all = append(all,
			pushContender{name: c.name + ": the same POST by net/http", raw: true, send: func() error {
				// To another phone each time, as the pushes are.
				path := c.path
				if c.provider != "fcm" { // which has the token in the body
					path += strconv.FormatInt(0x1000000+w.phones.Add(1), 16)
				}
				return w.post(w.at.URL+path, body, c.header)
			}},
			pushContender{name: c.name + ": the Sender", send: func() error {
				return failed(c.sender.Send(context.Background(), w.call(c.provider)))
			}},
			pushContender{name: c.name + ": behind the Dispatcher", send: func() error {
				return once(w.through, w.call(c.provider))
			}})
	}
	return all, nil
}

// body is what a push of ours has for a body.
func (w *pushWorld) body(provider string) (string, error) {
	if provider == "webpush" {
		return "", nil // RFC 8599 §12 knows no payload
	}
	var s push.Sender
	var err error
	if provider == "apns" {
		s, err = w.newApple(w.sim.URL(), string(w.sim.Credentials().CAPEM()))
	} else {
		s, err = fcm.New(context.Background(), fcm.Options{
			ServiceAccountJSON: w.sim.ServiceAccountJSON(), Endpoint: w.sim.FCMEndpoint(), RootCAs: w.sim.RootCAs(),
		})
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = s.Close() }()
	w.sim.Forget()
	if err := failed(s.Send(context.Background(), w.call(provider))); err != nil {
		return "", err
	}
	return w.sim.Pushes()[0].Payload, nil
}

func (w *pushWorld) post(url, body string, header map[string]string) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.plain.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode > 299 {
		return errors.New(resp.Status)
	}
	return nil
}

func failed(o push.Outcome) error {
	if o.Class == push.OK {
		return nil
	}
	return fmt.Errorf("push ended as %v (%s): %w", o.Class, o.Reason, o.Err)
}

// burst pushes to n phones at once through a new connection to an APNs that
// allows one stream until the first success, and returns the milliseconds until
// the last was taken, the handshake included.
func (w *pushWorld) burst(n int) (float64, error) {
	s, err := w.newApple(w.at.Frames, w.at.FramesCA)
	if err != nil {
		return 0, err
	}
	d, err := push.NewDispatcher(push.Options{Apps: []push.App{{Name: "cold", Provider: "apns", Sender: s}}})
	if err != nil {
		return 0, err
	}
	defer func() { _ = d.Close(context.Background()) }()
	done := make(chan push.Outcome, n)
	began := time.Now()
	for range n {
		if _, err := d.Submit(w.call("apns"), func(o push.Outcome) { done <- o }); err != nil {
			return 0, err
		}
	}
	for range n {
		if o := <-done; o.Class != push.OK {
			return 0, failed(o)
		}
	}
	return float64(time.Since(began).Microseconds()) / 1000, nil
}

// besideStuck pushes by APNs at a fixed rate, in turn through a Dispatcher that
// has nothing else to do and through one whose lane of FCM has all its places and
// its queue full of pushes that are not answered. It returns the 99th percentiles
// of the time from Submit to the outcome in each turn, in µs, by the first and by
// the second.
func (w *pushWorld) besideStuck(lasts time.Duration) (p99 [2][]float64, err error) {
	jammed, err := push.NewDispatcher(push.Options{Apps: []push.App{
		{Name: "apple", Provider: "apns", Sender: w.apple},
		{Name: "google", Provider: "fcm", Sender: w.google},
	}})
	if err != nil {
		return p99, err
	}
	defer func() {
		// What is stuck is not waited for, and the Senders are needed.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = jammed.Close(ctx)
	}()
	// The first success opens the lane.
	if err := once(jammed, w.call("fcm")); err != nil {
		return p99, err
	}
	for range stuckPushes {
		r := w.call("fcm")
		r.Tokens[0].PRID = stuck + r.Tokens[0].PRID
		r.Deadline = time.Now().Add(time.Minute)
		if _, err := jammed.Submit(r, func(push.Outcome) {}); err != nil {
			return p99, err
		}
	}
	for range int(lasts / pairedWindow) {
		for i, d := range []*push.Dispatcher{w.through, jammed} {
			t, err := w.paced(d, pairedWindow)
			if err != nil {
				return p99, err
			}
			slices.Sort(t)
			p99[i] = append(p99[i], t[len(t)*99/100])
		}
	}
	return p99, nil
}

// once makes one push and waits for its end.
func once(d *push.Dispatcher, r *push.Request) error {
	done := make(chan push.Outcome, 1)
	if _, err := d.Submit(r, func(o push.Outcome) { done <- o }); err != nil {
		return err
	}
	o := <-done
	return failed(o)
}

// paced pushes at a fixed rate and returns how long each took.
func (w *pushWorld) paced(d *push.Dispatcher, lasts time.Duration) ([]float64, error) {
	n := int(lasts.Seconds() * besideRate)
	took := make([]float64, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / besideRate)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		wg.Add(1)
		began := time.Now()
		if _, err := d.Submit(w.call("apns"), func(o push.Outcome) {
			took[i], errs[i] = float64(time.Since(began).Nanoseconds())/1000, failed(o)
			wg.Done()
		}); err != nil {
			return nil, err
		}
	}
	wg.Wait()
	return took, errors.Join(errs...)
}

// pushTable shows the results.
func pushTable(results []pushResult, o pushOptions, cold, alone, beside []float64) string {
	t := newTable("", "CPU a push", "ratio", "allocations", "bytes")
	for _, r := range results {
		against := ""
		if !r.raw {
			slices.Sort(r.ratio)
			against = ratio(r.ratio)
		}
		t.row(r.name, micro(middle(r.cpu)), against, fmt.Sprintf("%.0f", middle(r.allocs)), thousands(middle(r.size)))
	}
	var b strings.Builder
	b.WriteString(t.b.String())
	slices.Sort(cold)
	t = newTable("", "", "")
	t.row(fmt.Sprintf("%d pushes at once through a new connection to an APNs that allows one stream until the first success", o.cold),
		fmt.Sprintf("%.0f ms", middle(cold)), fmt.Sprintf("%.0f to %.0f ms", cold[0], cold[len(cold)-1]))
	shares := make([]float64, len(alone))
	for i := range alone {
		shares[i] = beside[i] / alone[i]
	}
	slices.Sort(shares)
	t.row(fmt.Sprintf("p99 of a push by APNs, %s a second, alone", thousands(besideRate)), micro(middle(alone)), "")
	t.row("the same, while FCM answers none of "+thousands(stuckPushes), micro(middle(beside)), ratio(shares))
	return b.String() + "\n" + t.b.String()
}
