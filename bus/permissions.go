package bus

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/qarion/qarion/engine"
)

// Clients without a login live in an account of their own. The engine's
// account shows them a short list of subjects and nothing else.
//
// Permissions alone would not be enough: a client may name any subject as the
// place for an answer, and the server, which has all rights, writes it there.
// Within one account a single request of a stranger with
// $JS.API.STREAM.DELETE.QARION_LEDGER as its reply would delete the ledger. In
// another account an answer reaches nobody but the one who asked.
const (
	accountEngine = "QARION"
	accountPublic = "PUBLIC"
)

// inboxEngine is where answers to the engine's own connections and to commands
// with full rights arrive. The deliveries that strangers order arrive on
// _INBOX.>, which the engine's account shows them; this it does not.
const inboxEngine = "_QARION"

// publicStreams are the views that anybody may read.
var publicStreams = [...]string{StreamEvents, "KV_qarion_xcom", "KV_qarion_runs"}

// publicRequests are what anybody may ask or publish; some are answered by
// more than one message.
func publicRequests() (single, streamed []string) {
	single = append(publicEndpoints(), subjectTrigger+"*", "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST")
	streamed = []string{"$SRV.>"}
	for _, stream := range publicStreams {
		single = append(single,
			"$JS.API.STREAM.INFO."+stream, "$JS.API.STREAM.MSG.GET."+stream,
			"$JS.API.CONSUMER.INFO."+stream+".*", "$JS.API.CONSUMER.DELETE."+stream+".*",
			"$JS.ACK."+stream+".>", "$JS.FC."+stream+".>",
		)
		streamed = append(streamed,
			"$JS.API.DIRECT.GET."+stream, "$JS.API.DIRECT.GET."+stream+".>", "$JS.API.CONSUMER.MSG.NEXT."+stream+".*",
		)
	}
	return single, streamed
}

// publicEndpoints are the endpoints that need no login, by their groups: so a
// name that is not there is told to be that, and not to be denied. Those that
// need one stand below another subject.
func publicEndpoints() (subjects []string) {
	for _, e := range engine.Endpoints() {
		subject := subjectAPI + "." + e.Name
		if group := e.Group(); group != "" {
			subject = subjectAPI + "." + group + ".*"
		}
		if !e.Login && !slices.Contains(subjects, subject) {
			subjects = append(subjects, subject)
		}
	}
	return subjects
}

// publicCreates are the requests to make a consumer. They go through the guard
// (guard.go), as the subjects that it listens on.
func publicCreates() map[string]string {
	creates := map[string]string{}
	for _, stream := range publicStreams {
		creates["$JS.API.CONSUMER.CREATE."+stream] = subjectGuard + stream
		creates["$JS.API.CONSUMER.CREATE."+stream+".>"] = subjectGuard + stream + ".>"
	}
	return creates
}

// publicEvents are what anybody may listen to: beside log and events, what
// they ordered themselves.
var publicEvents = [...]string{SubjectLog + "*.*", SubjectEvent + ">", "_INBOX.>"}

// publicPermissions bounds what a client without a login does within its
// account, so that it hears at once what is denied. The lists are never empty:
// to the server an empty list means "everything".
func publicPermissions() *server.Permissions {
	single, streamed := publicRequests()
	publish := append(single, streamed...)
	for subject := range publicCreates() {
		publish = append(publish, subject)
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: []string{SubjectLog + ">", SubjectEvent + ">", "_INBOX.>"}},
	}
}

// newAccounts makes the engine's account and the public one, with its view of
// the other.
func newAccounts() (own, public *server.Account, err error) {
	own, public = server.NewAccount(accountEngine), server.NewAccount(accountPublic)
	if err := errors.Join(showServices(own, public), showEvents(own, public)); err != nil {
		return nil, nil, fmt.Errorf("set up what clients without a login see: %w", err)
	}
	return own, public, nil
}

// openStore gives the engine's account its streams.
func (b *Bus) openStore() error {
	own, err := b.server.Load().LookupAccount(accountEngine)
	if err == nil {
		err = enableJetStream(own)
	}
	if err != nil {
		return fmt.Errorf("open the JetStream store: %w", err)
	}
	return nil
}

// enableJetStream opens the account's streams, several at a time.
func enableJetStream(account *server.Account) error {
	tasks := make(chan func())
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for open := range tasks {
				open()
			}
		})
	}
	err := account.EnableJetStream(nil, tasks)
	close(tasks)
	workers.Wait()
	return err
}

// answerWithin is how long an answer finds its way back: longer than a caller
// may wait for a run.
const answerWithin = maxWait + time.Minute

func showServices(own, public *server.Account) error {
	single, streamed := publicRequests()
	var errs []error
	show := func(subject, as string, kind server.ServiceRespType) {
		errs = append(errs,
			own.AddServiceExportWithResponse(subject, kind, []*server.Account{public}),
			own.SetServiceExportResponseThreshold(subject, answerWithin),
			public.AddServiceImport(own, as, subject))
	}
	for _, subject := range single {
		show(subject, subject, server.Singleton)
	}
	for _, subject := range streamed {
		show(subject, subject, server.Streamed)
	}
	for as, subject := range publicCreates() {
		show(subject, as, server.Singleton)
	}
	return errors.Join(errs...)
}

func showEvents(own, public *server.Account) error {
	var errs []error
	for _, subject := range publicEvents {
		errs = append(errs, own.AddStreamExport(subject, []*server.Account{public}), public.AddStreamImport(own, subject, ""))
	}
	return errors.Join(errs...)
}
