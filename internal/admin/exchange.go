package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

// An exchange is a request below /v1 and what became of it. It belongs to the
// goroutine of the request.
type exchange struct {
	who     Principal
	remote  string
	control *http.ResponseController
	// operation is the call's, empty if none was reached; changes says that it is one
	// that changes something, target what.
	operation, target string
	changes           bool
	// head: only the header of the answer is asked for.
	head bool
	// problem is the detail of the answer, if it is a problem.
	problem string
}

type exchangeKey struct{}

// exchangeOf returns the exchange of a request's context.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

// recorder is a ResponseWriter that remembers the status.
type recorder struct {
	http.ResponseWriter
	status int
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// serve has a request of somebody who is known done, counts it, and has the audit
// log told if it was to change something.
func (a *api) serve(w http.ResponseWriter, r *http.Request, who Principal) {
	rec := &recorder{ResponseWriter: w}
	x := &exchange{who: who, remote: r.RemoteAddr, control: http.NewResponseController(w), head: r.Method == http.MethodHead}
	if who.Kind == KindSocket {
		x.remote = ""
	}
	r.Header.Del("Accept") // There is one form of each answer.
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store") // It is told to who asked, and holds now.
	defer func() {                              //nolint:contextcheck // It has that of the request.
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // It is compared as net/http does.
			a.log.ErrorContext(r.Context(), "call panicked", "operation", x.operation, "err", fmt.Sprint(p), "stack", string(debug.Stack()))
			x.problem = "something is wrong with the server: see its log"
			if rec.status == 0 {
				writeProblem(rec, http.StatusInternalServerError, errors.New(x.problem))
			}
		}
		a.metrics.request(x.operation, rec.status)
		if x.changes && a.audit != nil {
			a.audit(Change{
				Time: time.Now(), Who: who.Name, Kind: who.Kind, Role: who.Role.String(), Remote: x.remote,
				Operation: x.operation, Target: x.target, Status: rec.status, Problem: x.problem,
			})
		}
	}()
	a.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
}

// A Change is a call that changed something, or was to.
type Change struct {
	Time time.Time
	// Who is the name of the token or certificate, or the user at the control socket;
	// Kind and Role are those of the Principal. Remote is the address, empty for the
	// socket.
	Who, Kind, Role, Remote string
	// Operation is the name of the call in the document of the API, Target what it was
	// about, as far as that is no secret.
	Operation, Target string
	// Status is that of HTTP; Problem says why it was not done.
	Status  int
	Problem string
}
