package app

import (
	"context"
	"time"

	"reveille/configs"
	"reveille/internal/admin"
)

// buildAdmin makes what operators ask: on an address, on the control socket, or
// both.
func (a *App) buildAdmin(reload func(context.Context) (configs.Changes, error)) (err error) {
	if err := a.buildAudit(); err != nil {
		return err
	}
	o := admin.Options{
		Addr: a.config.HTTP.Addr, Socket: a.config.ControlSocket(), Gatherer: a.registry, Registerer: a.registry, Ready: a.readiness,
		Overloaded: a.layer.Overloaded, Access: access(a.config), Audit: a.audit.tell, Logger: a.component("http"),
		Calls: admin.Calls{
			Reload: reloadCall(reload), Events: a.eventCalls(),
			Bans: &admin.Bans{List: a.banned, Lift: a.guard.Lift}, Pushes: a.pushTools(), Messages: a.waitingMessages(), Self: a.selfCalls(),
			Trace: a.traceCall(), Timeline: a.timelineCalls(),
		},
	}
	if certs := a.certs[httpListener]; certs != nil {
		o.TLS = certs.Server()
	}
	if o.Addr == "" && o.Socket == "" {
		return nil
	}
	if a.config.Store.OnDisk() {
		o.Calls.Backup = a.Backup
	}
	book, err := a.contactBook()
	if err != nil {
		return err
	}
	if book != nil {
		o.Calls.Contacts = book
	}
	if err := a.addConsole(&o, book); err != nil {
		return err
	}
	if a.admin, err = admin.New(o); err != nil {
		return err
	}
	a.onStop("http", a.admin.Stop)
	return nil
}

// access says who may use the API on the address.
func access(cfg *configs.Config) admin.Access {
	a := admin.Access{Reporter: cfg.Events.Bearer.Reveal(), ReporterTokens: cfg.Events.Tokens}
	for _, t := range cfg.HTTP.Tokens {
		a.Tokens = append(a.Tokens, admin.Token{Name: t.Name, Role: adminRole(t.Role), Secret: t.Token.Reveal()})
	}
	for _, c := range cfg.HTTP.Certificates {
		a.Certificates = append(a.Certificates, admin.Certificate{Name: c.Name, Role: adminRole(c.Role)})
	}
	return a
}

// reloadCall makes the HTTP call of a reload function.
func reloadCall(do func(context.Context) (configs.Changes, error)) func(context.Context) (admin.Reloaded, error) {
	if do == nil {
		return nil
	}
	return func(ctx context.Context) (admin.Reloaded, error) {
		c, err := do(ctx)
		// Empty lists, not null, for programs that read them.
		return admin.Reloaded{Changed: append([]string{}, c.Reload...), Restart: append([]string{}, c.Restart...)}, err
	}
}

func (a *App) banned() (list []admin.Ban) {
	for _, b := range a.guard.Banned(time.Now()) {
		list = append(list, admin.Ban{Source: b.Source, Reason: b.Reason, DatagramsOnly: b.Datagrams, Until: b.Until})
	}
	return list
}

// adminRole is a role of the configuration; what is none there is none here.
func adminRole(r configs.Role) admin.Role {
	switch r {
	case configs.AdminRole:
		return admin.Admin
	case configs.OperateRole:
		return admin.Operate
	case configs.ReadRole:
		return admin.Read
	}
	return 0 // None.
}
