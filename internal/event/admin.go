package event

import "log/slog"

// AdminChange says that somebody had the admin API change something, or tried to.
type AdminChange struct {
	// Who is the name of a token or certificate, or the user at the control socket; Kind
	// is "token", "certificate", "socket" or "reporter". Remote is the address, empty
	// for the socket.
	Who, Kind, Role, Remote string
	// Operation is the call's name in the document of the API, Target what it was about.
	Operation, Target string
	// Status is that of HTTP; Problem is why nothing was changed.
	Status  int
	Problem string
}

// AdminChangeData is in admin.change.
type AdminChangeData struct {
	Who       string `json:"who" doc:"the name in http.tokens or http.certificates, of the person (http.oidc), or the user at the control socket"`
	Kind      string `json:"kind" doc:"how we know: token, certificate, oidc for a person on the console, socket, or reporter for events.bearer"`
	Role      string `json:"role" doc:"read, operate or admin; none for a reporter"`
	Remote    string `json:"remote,omitempty" doc:"the address; absent for the control socket"`
	Operation string `json:"operation" doc:"what was asked for: the operationId in /v1/openapi.json"`
	Target    string `json:"target,omitempty" doc:"what it was about, such as a user; never a token"`
	Status    int    `json:"status" doc:"HTTP status of the answer"`
	Problem   string `json:"problem,omitempty" doc:"why it was not done"`
}

// Type implements Event.
func (AdminChange) Type() string { return "admin.change" }

func (e AdminChange) data(Detail) any { return AdminChangeData(e) }

func (e AdminChange) level() slog.Level { return slog.LevelInfo }

func (e AdminChange) line() (string, []slog.Attr) {
	return "admin change", []slog.Attr{
		slog.String("who", e.Who), slog.String("kind", e.Kind), slog.String("role", e.Role), slog.String("remote", e.Remote),
		slog.String("operation", e.Operation), slog.String("target", e.Target), slog.Int("status", e.Status), slog.String("reason", e.Problem),
	}
}
