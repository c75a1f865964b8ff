package main

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The scenarios of both ends of a call.
//
//go:embed calls/caller.xml calls/callee.xml
var scenarios embed.FS

// The addresses of both ends. The callee registers from its own, so that a server
// that sends to where a REGISTER came from reaches it, too.
const calleeAddr, callerAddr = "127.0.0.1:5978", "127.0.0.1:5979"

// callee is the user who is called.
const callee = "bob"

// findSIPp returns the program that plays both ends.
func findSIPp() (string, error) {
	path, err := exec.LookPath("sipp")
	if err != nil {
		return "", errors.New("sipp is not installed: Debian has it in sip-tester")
	}
	return path, nil
}

// A sipp is a running SIPp that plays one end of calls.
type sipp struct {
	name string
	dir  string // of its files
	cmd  *exec.Cmd
}

// sipp starts the end of a scenario with more arguments, on the core of the load.
func (l *lab) sipp(name, addr string, args ...string) (*sipp, error) {
	binary, err := findSIPp()
	if err != nil {
		return nil, err
	}
	s := &sipp{name: name, dir: filepath.Join(l.dir, name)}
	// What an earlier one wrote must not be taken for what this one writes.
	if err := errors.Join(os.RemoveAll(s.dir), os.MkdirAll(s.dir, 0o700)); err != nil {
		return nil, err
	}
	scenario, err := scenarios.ReadFile("calls/" + name + ".xml")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.dir, name+".xml")
	if err := os.WriteFile(file, scenario, 0o600); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	s.cmd = exec.Command(binary, append([]string{
		"-sf", file, "-i", host, "-p", port, "-nostdin", "-buff_size", "4000000",
		"-trace_stat", "-stf", filepath.Join(s.dir, statFile), "-fd", "1", "-trace_err", "-error_file", filepath.Join(s.dir, errorFile),
	}, args...)...)
	s.cmd.Dir = s.dir
	if err := startOn([]int{l.cores.load}, s.cmd); err != nil {
		return nil, fmt.Errorf("start SIPp as %s: %w", name, err)
	}
	return s, nil
}

// The files that a SIPp writes into its folder.
const statFile, errorFile = "stat.csv", "errors.log"

// finish waits until the caller has made its calls. It is no error that some
// failed: the counts say so.
func (s *sipp) finish() error {
	err := s.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("SIPp as %s: %w: %s", s.name, err, s.said())
	}
	return nil
}

// stop ends the callee, which goes on for ever.
func (s *sipp) stop() error {
	// SIPp takes it for "no more calls", and ends when those that it has have ended.
	if err := s.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return fmt.Errorf("stop SIPp as %s: %w", s.name, err)
	}
	defer time.AfterFunc(stopTime, func() { s.cmd.Process.Kill() }).Stop() //nolint:errcheck // It may have ended.
	// How it ends says nothing: it counts calls that never came.
	s.cmd.Wait() //nolint:errcheck // as said
	return nil
}

// said is the end of what SIPp wrote about errors.
func (s *sipp) said() string {
	text, err := os.ReadFile(filepath.Join(s.dir, errorFile))
	if err != nil {
		return "it said nothing"
	}
	const end = 1000
	return cmp.Or(string(text[max(0, len(text)-end):]), "it said nothing")
}

// counts are what SIPp counted of calls.
type counts struct{ ok, failed, repeated int }

// counts reads what SIPp has counted last.
func (s *sipp) counts() (counts, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, statFile))
	if err != nil {
		return counts{}, err
	}
	return parseCounts(string(text))
}

// parseCounts reads SIPp's statistics: a line of names and, for each second, one
// of values, of which those with (C) count from the start.
func parseCounts(text string) (c counts, err error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	names, values := strings.Split(lines[0], ";"), strings.Split(lines[len(lines)-1], ";")
	for name, n := range map[string]*int{"SuccessfulCall(C)": &c.ok, "FailedCall(C)": &c.failed, "Retransmissions(C)": &c.repeated} {
		i := slices.Index(names, name)
		if i < 0 || len(lines) < 2 || i >= len(values) {
			return c, fmt.Errorf("SIPp's statistics have no %s", name)
		}
		if *n, err = strconv.Atoi(values[i]); err != nil {
			return c, fmt.Errorf("SIPp's %s: %w", name, err)
		}
	}
	return c, nil
}

// ringTimes reads how long each call of the caller took from INVITE to 180, in
// microseconds, in order of size.
func (s *sipp) ringTimes() ([]float64, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "*_rtt.csv"))
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		return nil, fmt.Errorf("SIPp's response times: %w", fs.ErrNotExist)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return nil, err
	}
	return parseTimes(string(text))
}

// parseTimes reads SIPp's response times: a line of names, then one for each
// answer, with its milliseconds in the second place.
func parseTimes(text string) ([]float64, error) {
	var times []float64
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), ";")
		if len(fields) < 2 || strings.HasPrefix(line, "Date") {
			continue
		}
		ms, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return nil, fmt.Errorf("SIPp's response times: %w", err)
		}
		times = append(times, 1000*ms)
	}
	slices.Sort(times)
	return times, nil
}

// percentile is that of values in order of size, 0 of none.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p/100*float64(len(sorted))))]
}

// enrol registers the callee at a server, with more parameters of its Contact URI,
// from the address that SIPp takes afterwards.
func enrol(target netip.AddrPort, uriParams string) (err error) {
	local, err := net.ResolveUDPAddr("udp", calleeAddr)
	if err != nil {
		return err
	}
	conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(target))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	fmt.Fprintf(conn, "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP %[1]s;branch=z9hG4bK%[4]d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%[2]s@example.com>;tag=1\r\nTo: <sip:%[2]s@example.com>\r\nCall-ID: enrol-%[4]d\r\nCSeq: 1 REGISTER\r\n"+
		"Contact: <sip:%[2]s@%[1]s%[3]s>\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n", calleeAddr, callee, uriParams, time.Now().UnixNano())
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("register the callee: %w", err)
	}
	if status, _, _ := strings.Cut(string(buf[:n]), "\r\n"); !strings.Contains(status, " 200 ") {
		return fmt.Errorf("register the callee: %s", status)
	}
	return nil
}
