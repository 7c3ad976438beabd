//! Every error code, once, with its title. Each has a page `docs/error/MGnnnn.md`; `mulgil explain`
//! prints it. The first digit says who must act.

#![expect(
    clippy::zero_prefixed_literal,
    reason = "codes are written as they are printed, with four digits"
)]

use crate::diagnostic::Code;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        $(#[doc = concat!("`MG", stringify!($number), "`.")] $(#[$doc])* pub const $name: Code = Code($number);)*
        /// Every code with its name in this file, in the order of numbers within each group.
        pub const ALL: &[(Code, &str)] = &[$((Code($number), stringify!($name))),*];
    };
}

// Rust reads 0001 as 1: the code prints as MG0001.
codes! {
    // --- MG0: what was typed -----------------------------------------------------------------
    /// Words or flags that the command does not know.
    USAGE = 0001;
    /// A node, run or interval that does not exist.
    NOT_FOUND = 0002;
    /// An interval that cannot be read.
    BAD_INTERVAL = 0003;
    /// A selector that cannot be read.
    BAD_SELECTOR = 0004;
    /// A key value that the node does not have.
    UNKNOWN_KEY_VALUE = 0005;
    /// A query that does not parse or names what is not there.
    BAD_QUERY = 0006;
    /// A statement, or a part of one, that is not done here.
    UNSUPPORTED_SQL = 0007;
    /// A table, view or schema to be made that is already there.
    RELATION_EXISTS = 0008;
    /// A statement that would change what it cannot: a view, a source, a table that the project makes.
    NOT_CHANGEABLE = 0009;
    /// Something to be dropped that others still read.
    STILL_READ = 0010;
    /// `begin`, `commit` or `rollback` where it cannot stand.
    BAD_TRANSACTION = 0011;
    /// A version of a table that is not there.
    VERSION_GONE = 0012;
    /// A version that a table does not have.
    UNKNOWN_VERSION = 0013;
    /// Something that has no versions to go back to.
    NO_VERSIONS = 0014;
    /// A file that a result would be written over.
    OUTPUT_EXISTS = 0021;
    /// Bytes that are no text, on their way to a terminal.
    BINARY_TO_TERMINAL = 0022;
    /// A result that does not fit into an Excel sheet.
    EXCEL_LIMIT = 0023;
    /// A column of a type that the output format cannot hold.
    OUTPUT_TYPE = 0024;
    /// A server and a command line of different versions that do not understand each other.
    OTHER_VERSION = 0041;
    /// A request to the server that cannot be read.
    BAD_REQUEST = 0042;
    /// An address that the server does not have, or does not take this method at.
    NO_SUCH_ADDRESS = 0043;
    /// A request without the server's token, or with a wrong one.
    NO_TOKEN = 0044;
    /// A request that came to the server through a page or a name of somebody else.
    FOREIGN_REQUEST = 0045;
    /// A request that is larger than the server takes.
    REQUEST_TOO_LARGE = 0046;
    /// A request that did not arrive, or was not answered, in time.
    REQUEST_TOO_SLOW = 0047;
    /// A webhook's address that cannot be used.
    BAD_WEBHOOK = 0048;
    /// A backfill with a share or a number of intervals at once that cannot be.
    BAD_BACKFILL = 0051;
    /// A backfill that would have nothing to fill.
    EMPTY_BACKFILL = 0052;
    /// A form whose list of intervals is not what would be filled any more.
    PREVIEW_CHANGED = 0053;
    /// Something to be made that is there already: a project, or a folder for one.
    ALREADY_THERE = 0061;

    // --- MG1: project files --------------------------------------------------------------------
    /// No `mulgil.yml` here or above.
    NO_PROJECT = 1001;
    /// A file that cannot be read, or is not UTF-8 text.
    FILE_UNREADABLE = 1002;
    /// YAML that cannot be read.
    YAML_SYNTAX = 1003;
    /// A key that stands twice in one mapping.
    YAML_DUPLICATE_KEY = 1004;
    /// A key that is not known where it stands.
    UNKNOWN_KEY = 1005;
    /// A value that its key cannot have.
    BAD_VALUE = 1006;
    /// A key that has to be there and is not.
    MISSING_KEY = 1007;
    /// An environment that the project does not list.
    UNKNOWN_ENVIRONMENT = 1008;
    /// A name with letters that a name cannot have, or one that is taken by the program.
    BAD_NAME = 1009;
    /// Two things of one name.
    DUPLICATE_NAME = 1010;
    /// A project without models and seeds.
    EMPTY_PROJECT = 1011;
    /// A file that the project names and that is not there.
    MISSING_FILE = 1012;
    /// A time zone that does not exist.
    UNKNOWN_ZONE = 1013;
    /// A cron that cannot be read.
    BAD_CRON = 1014;
    /// A description of something that the project does not have.
    UNKNOWN_PROPERTY = 1015;
    /// A data test that cannot be understood.
    BAD_DATA_TEST = 1016;
    /// A template that does not parse.
    TEMPLATE_SYNTAX = 1101;
    /// A template that fails while it is rendered.
    TEMPLATE_FAILED = 1102;
    /// A template that takes too long or writes too much.
    TEMPLATE_LIMIT = 1103;
    /// `ref` to a model or seed that is not in the project.
    UNKNOWN_REF = 1104;
    /// `source` that is not declared.
    UNKNOWN_SOURCE = 1105;
    /// A call of a macro or function that does not exist.
    UNKNOWN_MACRO = 1106;
    /// `var` without a value and without a default.
    UNKNOWN_VAR = 1107;
    /// `env_var` that is not set and has no default.
    UNKNOWN_ENV_VAR = 1108;
    /// Models that read each other in a circle.
    CYCLE = 1109;
    /// SQL that does not parse, or is not one query.
    SQL_SYNTAX = 1110;
    /// A name that exists only while an interval is filled, where there is none.
    NO_INTERVAL_HERE = 1111;
    /// Keys that are used where they cannot be, or in a way they cannot be.
    KEYS_MISUSED = 1112;
    /// A value that exists only in a run, asked for outside of one.
    NO_RUN_HERE = 1113;
    /// A model by interval that has no `begin` and nothing to take it from.
    NO_BEGIN = 1201;
    /// A model by interval that does not say its `event_time`.
    NO_EVENT_TIME = 1202;
    /// Two schedules for one model.
    TWO_SCHEDULES = 1203;
    /// A schedule that ticks more often than an interval ends.
    SCHEDULE_TOO_FINE = 1204;
    /// A `begin` or `end` that is not on a cut of the grid, or the wrong way round.
    OFF_GRID = 1205;
    /// A window over something that has no intervals.
    WINDOW_WITHOUT_INTERVALS = 1206;
    /// `reads` or `restate_on` of something that the model does not read.
    NOT_READ = 1207;
    /// A setting that only a model by interval can have.
    NEEDS_INTERVAL = 1208;
    /// A configuration that dbt knows and this version does not do.
    UNSUPPORTED_CONFIG = 1209;
    /// Settings that contradict each other.
    CONFLICTING_CONFIG = 1210;
    /// Steps of a flow that wait for each other in a circle.
    STEP_CYCLE = 1211;
    /// A step that the flow does not have, or that is not over when it is asked for.
    UNKNOWN_STEP = 1212;
    /// A step that does not say what it does, or says it twice, or in a word that is not known.
    BAD_STEP_KIND = 1213;
    /// Something of a flow that this version does not do yet.
    FLOW_NOT_YET = 1214;
    /// A flow without steps.
    EMPTY_FLOW = 1215;
    /// A flow that is larger than a flow may be.
    FLOW_TOO_LARGE = 1216;
    /// A selector of a flow that cannot be read or selects nothing.
    BAD_FLOW_SELECTOR = 1217;
    /// A channel that the project does not declare.
    UNKNOWN_CHANNEL = 1218;
    /// A key that a step or a flow of this kind cannot have.
    KEY_MISPLACED = 1219;
    /// A parameter that the flow does not declare.
    UNDECLARED_PARAM = 1220;
    /// A profile or a target that `profiles.yml` does not have.
    UNKNOWN_PROFILE = 1301;
    /// Something of a dbt project that has no effect here yet.
    NO_EFFECT_YET = 1302;
    /// A profile for another database, whose tables are made in the warehouse of the project.
    OTHER_DATABASE = 1303;

    // --- MG2: connections and logins -----------------------------------------------------------
    /// A source's file or folder that cannot be read.
    SOURCE_UNREACHABLE = 2001;
    /// An object store that refuses what it was asked, for its credentials or their rights.
    STORE_DENIED = 2101;
    /// Credentials for an object store that are nowhere to be found, or cannot be used.
    NO_CREDENTIALS = 2102;
    /// An object store that cannot be reached.
    STORE_UNREACHABLE = 2103;
    /// A bucket that does not exist.
    BUCKET_MISSING = 2104;
    /// An object store that lets two writers write over each other.
    STORE_UNSAFE = 2105;
    /// A URL of a ledger's database that cannot be read.
    LEDGER_URL = 2201;
    /// A ledger's database that did not let us in.
    LEDGER_LOGIN = 2202;
    /// A ledger's database that does not allow what the ledger needs.
    LEDGER_RIGHTS = 2203;
    /// A schema that holds another project's ledger.
    LEDGER_OF_ANOTHER = 2204;

    // --- MG3: data -----------------------------------------------------------------------------
    /// A model's SQL that does not parse, or that the engine cannot plan.
    SQL_INVALID = 3001;
    /// SQL that names a table which it cannot read.
    UNKNOWN_RELATION = 3002;
    /// SQL that names a column which its tables do not have.
    UNKNOWN_COLUMN = 3003;
    /// SQL that would change something, where only a query may stand.
    NOT_A_QUERY = 3004;
    /// SQL that failed on a value while it ran: a cast, a division, an overflow.
    SQL_FAILED = 3005;
    /// An event-time column that is missing or holds no times.
    BAD_EVENT_TIME = 3006;
    /// A row whose event time is NULL or outside the range that is filled.
    ROW_OUTSIDE_RANGE = 3007;
    /// A column whose type no longer fits its table.
    TYPE_MISFIT = 3008;
    /// An output column without a name that a table can have.
    BAD_COLUMN_NAME = 3009;
    /// An output column of a type that a table cannot keep.
    BAD_COLUMN_TYPE = 3010;
    /// A table that was partitioned for another grid or for other keys.
    LAYOUT_MISFIT = 3011;
    /// A table that is read before it was ever filled.
    NOT_FILLED_YET = 3012;
    /// Two rows of one fill with the same unique key.
    DUPLICATE_KEY = 3013;
    /// A unique key that names no column.
    UNKNOWN_KEY_COLUMN = 3014;
    /// An incremental model whose SQL gives other columns than its table has.
    COLUMNS_CHANGED = 3015;
    /// A row of a snapshot that does not say of which thing it is.
    NULL_KEY = 3016;
    /// A row of a table that more than one row of a source would change.
    MATCHED_TWICE = 3017;
    /// NULL in a column that does not take it.
    NULL_NOT_ALLOWED = 3018;
    /// A table of which no version has passed its data tests yet.
    NOT_PUBLISHED = 3020;
    /// A source's file that was there when it was looked at, and is not there any more.
    SOURCE_FILE_MISSING = 3101;
    /// A source's file that changed while it was read.
    SOURCE_FILE_CHANGED = 3102;
    /// A source's file whose name fits the template but names no time.
    SOURCE_FILE_NAME = 3103;
    /// A row of a source's file that cannot be taken apart.
    SOURCE_BROKEN_ROW = 3104;
    /// A value of a source's file that its column's type cannot hold.
    SOURCE_VALUE = 3105;
    /// A source's file that is damaged, cut off, empty or of another format.
    SOURCE_BROKEN_FILE = 3106;
    /// A header line that does not give each column its own name.
    SOURCE_BAD_HEADER = 3107;
    /// A source's file without a column that the source has.
    SOURCE_COLUMN_MISSING = 3108;
    /// A row of a source's file without an event time, or with one outside the file's interval.
    SOURCE_ROW_OUTSIDE = 3109;

    // --- MG4: runs -----------------------------------------------------------------------------
    /// A newer claim has written the table: this attempt may not.
    FENCED = 4101;
    /// Somebody else committed to the table while it was being filled.
    TABLE_CHANGED = 4102;

    /// A range that is held since its table went back to an earlier version.
    ROLLED_BACK = 4110;

    /// A task that ended with an exit code other than 0.
    TASK_FAILED = 4201;
    /// A task that was ended by a signal which Mulgil did not send.
    TASK_SIGNALLED = 4202;
    /// A task that was ended because it took too long.
    TASK_TIMEOUT = 4203;
    /// A task that a person ended.
    TASK_CANCELLED = 4204;
    /// A task that was ended because it needed more memory than it may have.
    TASK_OUT_OF_MEMORY = 4205;
    /// A task whose program could not be started.
    TASK_NOT_STARTED = 4206;
    /// A task whose supervisor was killed, so that nobody knows how it would have ended.
    TASK_LOST = 4207;
    /// A line of a task's events that cannot be read.
    EVENT_INVALID = 4208;
    /// More events, or a larger one, than a task may write.
    EVENT_TOO_LARGE = 4209;
    /// A secret that is too short to be masked in a log.
    SECRET_TOO_SHORT = 4210;
    /// A Python that is not there, or too old.
    PYTHON_UNUSABLE = 4211;
    /// A Python script or function that is not there, or cannot be called with the step's parameters.
    PYTHON_TARGET = 4212;
    /// A warm Python worker that died under a task.
    WORKER_CRASHED = 4213;
    /// A task whose server did not renew its right to run it.
    TASK_ABANDONED = 4214;
    /// A parameter's value that is of another type, or none of those allowed.
    BAD_PARAM = 4221;
    /// A parameter that the flow does not have.
    UNKNOWN_PARAM = 4222;
    /// A parameter without which the flow does not start.
    MISSING_PARAM = 4223;
    /// A `when` that gives neither true nor false.
    BAD_CONDITION = 4224;
    /// A value that cannot stand in SQL.
    UNBINDABLE = 4225;
    /// An interval of a flow whose run failed.
    RUN_FAILED = 4231;
    /// A step that a server had begun and that nobody knows the end of.
    STEP_LOST = 4233;
    /// A run that is over, or none at all, where one that goes on was named.
    RUN_NOT_ACTIVE = 4235;
    /// A run that cannot be begun again: it goes on, has nothing left to do, or is none of a flow.
    RUN_NOT_RETRIED = 4236;
    /// A backfill that is over, or held back, where one that goes on was named.
    BACKFILL_NOT_OPEN = 4241;

    // --- MG5: operation ------------------------------------------------------------------------
    /// An environment that another process is working on.
    DATA_HELD = 5001;
    /// A ledger that another version of the program made.
    LEDGER_SCHEMA = 5002;
    /// A ledger that is damaged, or a file in its place that is none.
    LEDGER_CORRUPT = 5003;
    /// A SQLite library that can damage a ledger.
    SQLITE_TOO_OLD = 5004;
    /// A table that another attempt is writing.
    CLAIM_HELD = 5005;
    /// An attempt that may not record anything any more.
    CLAIM_STALE = 5006;
    /// A ledger that another program has locked.
    LEDGER_BUSY = 5007;
    /// The disk is full.
    DISK_FULL = 5101;
    /// A folder that may not be written to.
    READ_ONLY = 5102;
    /// The disk or the file system failed.
    DISK_FAILED = 5103;
    /// A query that needs more memory than it may have.
    OUT_OF_MEMORY = 5104;
    /// A query that was ended because it took too long.
    QUERY_TIMEOUT = 5105;
    /// A table that cannot be read.
    TABLE_UNREADABLE = 5106;
    /// A clock that stands before what the ledger has recorded.
    CLOCK_BEHIND = 5107;
    /// An object store that fails or is too busy, again and again.
    STORE_FAILED = 5201;
    /// An attempt's folder that cannot be written to or read.
    ATTEMPT_FOLDER = 5202;
    /// A supervisor that could not be started.
    NO_SUPERVISOR = 5203;
    /// An exit record that is damaged, or that another version of the program made.
    EXIT_RECORD = 5204;
    /// An address to serve at that other machines could reach.
    NOT_LOOPBACK = 5241;
    /// An address that cannot be served at.
    LISTEN_FAILED = 5242;
    /// A token file that others may read.
    TOKEN_EXPOSED = 5243;
    /// A token file that holds no token.
    TOKEN_BROKEN = 5244;
    /// A server that does not answer, or does not answer any more.
    SERVER_GONE = 5245;
    /// A connection that broke before the server said whether it did what it was asked.
    OUTCOME_UNKNOWN = 5246;
    /// A server that has as much to do as it takes.
    SERVER_BUSY = 5247;
    /// A server that is about to stop.
    SERVER_STOPPING = 5248;
    /// A webhook that did not take a notice.
    WEBHOOK_FAILED = 5249;
    /// Notices that were dropped because too many wait.
    NOTICES_DROPPED = 5250;
    /// A webhook whose address leads where no notice may go.
    WEBHOOK_DENIED = 5251;
    /// A project that changed while a server of `mulgil dev` has it loaded.
    PROJECT_CHANGED = 5252;
    /// A ledger's database that cannot be reached, was stopped or does not answer.
    LEDGER_GONE = 5221;
    /// A commit to the ledger of which it is not known whether it was made.
    LEDGER_UNCERTAIN = 5222;
    /// A lease that is over or has passed to another.
    LEASE_LOST = 5223;
    /// A ledger to be copied into that is not empty.
    COPY_NOT_EMPTY = 5224;
    /// A copy of a ledger that is not what it was copied from.
    COPY_DIFFERS = 5225;
    /// A ledger to be copied that a server is working with.
    LEDGER_IN_USE = 5226;
    /// A PostgreSQL server that is too old for a ledger.
    POSTGRES_TOO_OLD = 5227;

    // --- MG9: our bugs -------------------------------------------------------------------------
    /// Something that cannot happen has happened.
    BUG = 9001;
}

/// Whether a fault lies in some rows or files of what was read: without them the rest is well.
pub fn is_of_rows(code: Code) -> bool {
    [
        SQL_FAILED,
        ROW_OUTSIDE_RANGE,
        SOURCE_FILE_MISSING,
        SOURCE_FILE_CHANGED,
        SOURCE_BROKEN_ROW,
        SOURCE_VALUE,
        SOURCE_BROKEN_FILE,
        SOURCE_BAD_HEADER,
        SOURCE_COLUMN_MISSING,
        SOURCE_ROW_OUTSIDE,
    ]
    .contains(&code)
}
