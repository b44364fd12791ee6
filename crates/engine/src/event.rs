//! The kinds of journal entries. One table: a number that is stored, a name that is streamed, a class that replay obeys.
//!
//! Numbers are never reused; names are part of the outside contract.

/// How replay treats an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Written by the workflow while it is polled; replay demands the same again.
    Produced,
    /// Given to the workflow by the engine; replay gives it again.
    Delivered,
    /// Book-keeping beside the workflow; replay reads what it needs from it.
    Note,
    /// The run's last word; frozen until reopened.
    Terminal,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal, $class:ident;)*) => {
        /// The kind of a journal entry.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $name = $code,)* }

        impl Kind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The kind a stored number stands for.
            #[must_use]
            pub fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// The event type in a stream.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How replay treats it.
            #[must_use]
            pub fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }
        }
    };
}

kinds! {
    /// The first entry: what was asked.
    RunQueued = 1, "run.queued", Note;
    /// A worker began.
    RunStarted = 2, "run.started", Note;
    /// Ended with an output.
    RunCompleted = 3, "run.completed", Terminal;
    /// Ended with an error.
    RunFailed = 4, "run.failed", Terminal;
    /// Stopped on request.
    RunCancelled = 5, "run.cancelled", Terminal;
    /// Stopped at its deadline.
    RunTimedOut = 6, "run.timed_out", Terminal;
    /// Left memory until something happens.
    RunWaiting = 7, "run.waiting", Note;
    /// Needs a person.
    RunBlocked = 8, "run.blocked", Note;
    /// A worker took the run over.
    EngineClaimed = 9, "engine.claimed", Note;
    /// A worker gave the run back in good order.
    EngineReleased = 10, "engine.released", Note;
    /// An ended run was opened again at a step.
    EngineReopened = 11, "engine.reopened", Note;
    /// The run's deadline passed.
    EngineDeadline = 12, "engine.deadline", Delivered;
    /// A child run was created.
    ChildStarted = 13, "child.started", Produced;
    /// A child run ended.
    ChildCompleted = 14, "child.completed", Delivered;
    /// A message that nobody waited for (any more) was taken out of the inbox.
    EngineIgnored = 15, "engine.ignored", Note;
    /// Which turns of its session the run reads.
    EngineSession = 16, "engine.session", Note;
    /// A call is about to leave: the intent.
    StepStarted = 20, "step.started", Produced;
    /// A call is tried again.
    StepRetrying = 21, "step.retrying", Note;
    /// A step's result.
    StepCompleted = 22, "step.completed", Delivered;
    /// A step's final failure.
    StepFailed = 23, "step.failed", Delivered;
    /// A step whose result nobody waits for any more.
    StepCancelled = 24, "step.cancelled", Produced;
    /// A pure step's result, computed inside the poll.
    StepValue = 25, "step.completed", Produced;
    /// A timer came due.
    TimerFired = 26, "engine.timer", Delivered;
    /// An agent was asked: the intent of a call to an agent.
    AgentStarted = 30, "agent.started", Produced;
    /// A piece of an answer as it arrives.
    AgentDelta = 31, "agent.delta", Note;
    /// An agent's answer.
    AgentMessage = 32, "agent.message", Delivered;
    /// An agent's final failure.
    AgentFailed = 33, "agent.failed", Delivered;
    /// Pieces of a given-up attempt are void.
    AgentRetracted = 34, "agent.retracted", Note;
    /// A tool was called: the intent.
    ToolCalled = 40, "tool.called", Produced;
    /// A tool's result.
    ToolReturned = 41, "tool.returned", Delivered;
    /// A tool's final failure.
    ToolFailed = 42, "step.failed", Delivered;
    /// Work was handed to another agent.
    Handoff = 50, "handoff", Produced;
    /// A speaker was chosen.
    SpeakerSelected = 51, "speaker.selected", Produced;
    /// A plan was made.
    PlanCreated = 52, "plan.created", Produced;
    /// A plan was changed.
    PlanRevised = 53, "plan.revised", Produced;
    /// A person is asked.
    ApprovalRequested = 60, "approval.requested", Produced;
    /// A person answered, or the time for it passed.
    ApprovalDecided = 61, "approval.decided", Delivered;
    /// Somebody asked the run to stop.
    CancelRequested = 62, "cancel.requested", Delivered;
    /// A signal arrived.
    SignalReceived = 63, "signal.received", Delivered;
    /// A seller asked a price.
    PaymentRequired = 70, "payment.required", Produced;
    /// A payment was made.
    PaymentPaid = 71, "payment.paid", Produced;
    /// A payment was refused.
    PaymentRefused = 72, "payment.refused", Produced;
    /// A payment's outcome is not known.
    PaymentUnknown = 73, "payment.unknown", Produced;
    /// Ledger: an amount is held before a call.
    BudgetReserved = 80, "engine.reserved", Produced;
    /// Ledger: what the call cost.
    BudgetSpent = 81, "budget.spent", Note;
    /// Ledger: less was left than a call needs.
    BudgetRefused = 82, "engine.refused", Produced;
    /// A line for people.
    Log = 90, "log", Produced;
}

impl Kind {
    /// The stored number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}
