// A stand-in for Jenkins, for tests of what is around it. It is not Jenkins and shares no code with it; each of its answers
// says so. What it has of the real one: where it looks for its settings, secrets, plug-ins and home, what it leaves in the
// home, the headers and refusals that a proxy or a script meets, and that it can be quieted down while builds run.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.jar.Manifest;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

public final class StandIn {
    static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9 _.-]*");
    static final Path RUN = Path.of("/run/jenkins");

    final String version;
    final Path home;
    final String prefix;
    final Object configuration;
    final Map<String, String> users = new LinkedHashMap<>();
    final String key;
    final ScheduledExecutorService timer = Executors.newScheduledThreadPool(4);
    final Map<String, Future<?>> running = new ConcurrentHashMap<>();
    final StandInAgents agents;
    volatile boolean quiet;

    StandIn(String version, Path home, String prefix, Object configuration) throws IOException {
        this.version = version;
        this.home = home;
        this.prefix = prefix;
        this.configuration = configuration;
        Files.createDirectories(home.resolve("jobs"));
        Path secret = home.resolve("secret.key");
        if (!Files.exists(secret)) {
            byte[] bytes = new byte[32];
            new SecureRandom().nextBytes(bytes);
            write(secret, HexFormat.of().formatHex(bytes));
        }
        this.key = Files.readString(secret);
        if (at(configuration, "jenkins", "securityRealm", "local", "users") instanceof List<?> listed) {
            for (Object user : listed) {
                users.put(String.valueOf(at(user, "id")), resolved(String.valueOf(at(user, "password"))));
            }
        }
        // As the real one does: the version that has written the home, and no wizard in it.
        write(home.resolve("config.xml"), "<?xml version='1.1' encoding='UTF-8'?>\n<hudson>\n  <version>" + version
            + "</version>\n</hudson>\n");
        write(home.resolve("jenkins.install.InstallUtil.lastExecVersion"), version);
        if (at(configuration, "jobs") instanceof List<?> scripts) {
            Pattern made = Pattern.compile("(?:pipelineJob|freeStyleJob|job|folder)\\s*\\(?\\s*['\"]([^'\"]+)['\"]");
            for (Object script : scripts) {
                Matcher found = made.matcher(String.valueOf(at(script, "script")));
                while (found.find()) {
                    createJob(found.group(1), "<project>stand-in</project>\n");
                }
            }
        }
        agents = new StandInAgents(this);
        for (Path build : buildsOnDisk()) {
            String text = Files.readString(build);
            if (field(text, "result").equals("QUEUED")) {
                agents.queue(new StandInAgents.Waiting(title(build), build, field(text, "label"),
                    Double.parseDouble(field(text, "seconds"))));
            }
            // Whoever was building it was killed.
            if (field(text, "result").equals("RUNNING")) {
                finish(build, "ABORTED", "");
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new TreeMap<>();
        for (String argument : arguments) {
            int sign = argument.indexOf('=');
            options.put(sign < 0 ? argument : argument.substring(0, sign), sign < 0 ? "" : argument.substring(sign + 1));
        }
        String version;
        try (InputStream manifest = StandIn.class.getResourceAsStream("/META-INF/MANIFEST.MF")) {
            version = new Manifest(manifest).getMainAttributes().getValue("Jenkins-Version");
        }
        if (!"false".equals(System.getProperty("jenkins.install.runSetupWizard"))) {
            throw new IllegalStateException("stand-in: the setup wizard is on");
        }
        Path home = Path.of(System.getenv("JENKINS_HOME"));
        String configured = System.getenv("CASC_JENKINS_CONFIG");
        Object configuration = configured == null ? Map.of() : new Json(Files.readString(Path.of(configured))).whole();
        check(configuration);
        Files.createDirectories(Path.of(options.get("--webroot")));
        List<String> plugins = plugins(home, Path.of(options.get("--pluginroot")));
        StandIn standIn = new StandIn(version, home, options.getOrDefault("--prefix", ""), configuration);
        if (Files.exists(home.resolve("init.groovy.d/stackyard-drain.groovy"))) {
            standIn.timer.scheduleWithFixedDelay(standIn::beDrained, 0, 500, TimeUnit.MILLISECONDS);
        }
        Integer every = Integer.getInteger("standin.write.milliseconds");
        if (every != null) {
            standIn.timer.scheduleAtFixedRate(standIn::leaveTrace, 0, every, TimeUnit.MILLISECONDS);
        }
        HttpServer server = HttpServer.create(new InetSocketAddress(options.getOrDefault("--httpListenAddress", "0.0.0.0"),
            Integer.parseInt(options.getOrDefault("--httpPort", "8080"))), 50);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.createContext("/", standIn::serve);
        server.start();
        Runtime.getRuntime().addShutdownHook(new Thread(standIn::stop));
        System.out.println("stand-in: not Jenkins, but ready like Jenkins " + version + " with " + plugins);
        if (System.getenv("NOTIFY_SOCKET") != null) {
            new ProcessBuilder("systemd-notify", "--ready").inheritIO().start().waitFor();
        }
    }

    // Configuration

    static Object at(Object value, String... names) {
        for (String name : names) {
            value = value instanceof Map<?, ?> map ? map.get(name) : null;
        }
        return value;
    }

    /** Resolves every reference, as the real one does while it reads. */
    static void check(Object value) throws IOException {
        if (value instanceof Map<?, ?> map) {
            for (Object entry : map.values()) {
                check(entry);
            }
        } else if (value instanceof List<?> list) {
            for (Object entry : list) {
                check(entry);
            }
        } else if (value instanceof String text) {
            resolved(text);
        }
    }

    static String resolved(String text) throws IOException {
        Matcher found = Pattern.compile("\\^\\$\\{|\\$\\{([^{}]*)\\}").matcher(text);
        StringBuilder result = new StringBuilder();
        while (found.find()) {
            String replacement;
            if (found.group().startsWith("^")) {
                replacement = found.group().substring(1);
            } else {
                String name = found.group(1);
                Path path = name.startsWith("readFileBase64:") ? Path.of(name.substring(15))
                    : Path.of(System.getenv("SECRETS")).resolve(name);
                replacement = Files.readString(path).strip();
            }
            found.appendReplacement(result, Matcher.quoteReplacement(replacement));
        }
        return found.appendTail(result).toString();
    }

    static List<String> plugins(Path home, Path root) throws IOException {
        Files.createDirectories(root);
        List<String> names = new ArrayList<>();
        Path folder = home.resolve("plugins");
        if (Files.isDirectory(folder)) {
            try (Stream<Path> files = Files.list(folder)) {
                for (Path file : files.filter(path -> path.toString().endsWith(".jpi")).sorted().toList()) {
                    String name = file.getFileName().toString().replace(".jpi", "");
                    // The real one unpacks them here.
                    Files.createDirectories(root.resolve(name));
                    names.add(name);
                }
            }
        }
        return names;
    }

    // Jobs and builds

    void createJob(String name, String xml) throws IOException {
        if (!NAME.matcher(name).matches()) {
            throw new IllegalArgumentException("name");
        }
        Path job = home.resolve("jobs").resolve(name);
        Files.createDirectories(job.resolve("builds"));
        write(job.resolve("config.xml"), xml);
    }

    synchronized int build(String name, double seconds) throws IOException {
        Path builds = home.resolve("jobs").resolve(name).resolve("builds");
        int number = 1;
        while (Files.exists(builds.resolve(Integer.toString(number)))) {
            number++;
        }
        Path record = builds.resolve(Integer.toString(number)).resolve("build.xml");
        Files.createDirectories(record.getParent());
        String title = title(record);
        String label = field(Files.readString(home.resolve("jobs").resolve(name).resolve("config.xml")), "assignedNode");
        if (!label.isEmpty()) {
            write(record, "<build><result>QUEUED</result><label>" + label + "</label><seconds>" + seconds + "</seconds></build>\n");
            agents.queue(new StandInAgents.Waiting(title, record, label, seconds));
            return number;
        }
        write(record, "<build><result>RUNNING</result></build>\n");
        running.put(title, timer.schedule(() -> finishRunning(title, record, "SUCCESS", ""), (long) (seconds * 1000),
            TimeUnit.MILLISECONDS));
        return number;
    }

    static String title(Path record) {
        Path build = record.getParent();
        return build.getParent().getParent().getFileName() + " #" + build.getFileName();
    }

    /** An element of a file of XML that has it once at most; empty where it has none. */
    static String field(String text, String name) {
        Matcher found = Pattern.compile("<" + name + ">([^<]*)</" + name + ">").matcher(text);
        return found.find() ? found.group(1) : "";
    }

    void finishRunning(String title, Path record, String result, String more) {
        try {
            finish(record, result, more);
        } catch (IOException error) {
            System.err.println("stand-in: " + title + " could not be finished: " + error);
        }
        running.remove(title);
    }

    static void finish(Path record, String result, String more) throws IOException {
        write(record, "<build><result>" + result + "</result>" + more + "</build>\n");
    }

    List<Path> buildsOnDisk() throws IOException {
        try (Stream<Path> paths = Files.find(home.resolve("jobs"), 4,
                (path, attributes) -> path.endsWith("build.xml") && attributes.isRegularFile())) {
            return paths.toList();
        }
    }

    /** Does what the image's Groovy script does in the real one. */
    void beDrained() {
        try {
            if (Files.exists(RUN.resolve("drain"))) {
                quiet = true;
            }
            List<String> names = running.keySet().stream().sorted().map(Json::quoted).toList();
            agents.beDrained();
            write(RUN.resolve("builds.json"), "{\"quiet\": " + quiet + ", \"builds\": [" + String.join(", ", names) + "]}");
        } catch (IOException error) {
            System.err.println("stand-in: the list of builds could not be written: " + error);
        }
    }

    /** For trials of the fence: who writes into the home, and when. */
    void leaveTrace() {
        try {
            Path trace = home.resolve("stand-in-trace");
            Files.writeString(trace, System.currentTimeMillis() + " " + System.getenv().getOrDefault("HOSTNAME", "") + " "
                + ProcessHandle.current().pid() + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException error) {
            System.err.println("stand-in: no trace could be left: " + error);
        }
    }

    void stop() {
        running.forEach((title, end) -> {
            if (end.cancel(false)) {
                int sign = title.lastIndexOf(" #");
                Path job = home.resolve("jobs").resolve(title.substring(0, sign));
                finishRunning(title, job.resolve("builds").resolve(title.substring(sign + 2)).resolve("build.xml"), "ABORTED", "");
            }
        });
        System.out.println("stand-in: stopped");
    }

    static void write(Path path, String text) throws IOException {
        Path next = path.resolveSibling(path.getFileName() + ".next");
        Files.writeString(next, text);
        Files.move(next, path, StandardCopyOption.ATOMIC_MOVE);
    }

    // HTTP

    void serve(HttpExchange exchange) throws IOException {
        try (exchange) {
            try {
                answer(exchange);
            } catch (RuntimeException | IOException error) {
                reply(exchange, 500, "text/plain", "stand-in: " + error + "\n");
            }
        }
    }

    void answer(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        if (!path.startsWith(prefix)) {
            reply(exchange, 404, "text/plain", "stand-in: not found\n");
            return;
        }
        path = path.substring(prefix.length());
        if (path.equals("/login")) {
            reply(exchange, 200, "text/html", "<!doctype html><title>Sign in - stand-in</title><h1>This is a stand-in for"
                + " Jenkins " + version + "</h1>\n");
            return;
        }
        String user = user(exchange);
        if (user == null) {
            // The real one leads a browser to its page of log-in, at the address by which the visitor came.
            exchange.getResponseHeaders().set("Location", origin(exchange) + prefix + "/login?from="
                + exchange.getRequestURI().getPath());
            reply(exchange, path.endsWith("/api/json") || !exchange.getRequestMethod().equals("GET") ? 403 : 302, "text/plain",
                "stand-in: log in first\n");
            return;
        }
        if (exchange.getRequestMethod().equals("POST")) {
            if (!crumb(user).equals(exchange.getRequestHeaders().getFirst("Jenkins-Crumb"))) {
                reply(exchange, 403, "text/plain", "stand-in: No valid crumb was included in the request\n");
                return;
            }
            post(exchange, path);
            return;
        }
        get(exchange, path, user);
    }

    void get(HttpExchange exchange, String path, String user) throws IOException {
        Matcher build = Pattern.compile("/job/([^/]+)/([0-9]+)/api/json").matcher(path);
        Matcher log = Pattern.compile("/job/([^/]+)/([0-9]+)/consoleText").matcher(path);
        Matcher job = Pattern.compile("/job/([^/]+)/api/json").matcher(path);
        if (path.equals("/crumbIssuer/api/json")) {
            reply(exchange, 200, "application/json", "{\"crumbRequestField\": \"Jenkins-Crumb\", \"crumb\": \"" + crumb(user)
                + "\"}\n");
        } else if (path.equals("/api/json") || path.equals("/")) {
            List<String> jobs = new ArrayList<>();
            try (Stream<Path> folders = Files.list(home.resolve("jobs"))) {
                folders.sorted().forEach(folder -> jobs.add("{\"name\": " + Json.quoted(folder.getFileName().toString())
                    + ", \"url\": " + Json.quoted(url() + "job/" + folder.getFileName() + "/") + "}"));
            }
            Object message = at(configuration, "jenkins", "systemMessage");
            reply(exchange, 200, "application/json", "{\"application\": \"stand-in\", \"quietingDown\": " + quiet
                + ", \"slaveAgentPort\": " + at(configuration, "jenkins", "slaveAgentPort") + ", \"description\": "
                + Json.quoted(message == null ? "" : resolved(String.valueOf(message))) + ", \"jobs\": ["
                + String.join(", ", jobs) + "]}\n");
        } else if (build.matches() && NAME.matcher(build.group(1)).matches()) {
            Path record = home.resolve("jobs").resolve(build.group(1)).resolve("builds").resolve(build.group(2))
                .resolve("build.xml");
            if (!Files.exists(record)) {
                reply(exchange, 404, "text/plain", "stand-in: no such build\n");
                return;
            }
            String result = field(Files.readString(record), "result");
            boolean building = result.equals("RUNNING");
            reply(exchange, 200, "application/json", "{\"building\": " + building + ", \"result\": "
                + (building || result.equals("QUEUED") ? "null" : "\"" + result + "\"") + ", \"builtOn\": "
                + Json.quoted(field(Files.readString(record), "builtOn")) + "}\n");
        } else if (log.matches() && NAME.matcher(log.group(1)).matches()) {
            Path written = home.resolve("jobs").resolve(log.group(1)).resolve("builds").resolve(log.group(2)).resolve("log");
            reply(exchange, Files.exists(written) ? 200 : 404, "text/plain", Files.exists(written) ? Files.readString(written)
                : "stand-in: no such log\n");
        } else if (path.equals("/computer/api/json")) {
            reply(exchange, 200, "application/json", agents.computers());
        } else if (path.equals("/queue/api/json")) {
            reply(exchange, 200, "application/json", agents.waiting());
        } else if (job.matches() && NAME.matcher(job.group(1)).matches()
                && Files.isDirectory(home.resolve("jobs").resolve(job.group(1)))) {
            reply(exchange, 200, "application/json", "{\"name\": " + Json.quoted(job.group(1)) + "}\n");
        } else {
            reply(exchange, 404, "text/plain", "stand-in: not found\n");
        }
    }

    void post(HttpExchange exchange, String path) throws IOException {
        String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
        Map<String, String> query = new TreeMap<>();
        String given = exchange.getRequestURI().getQuery();
        for (String pair : given == null ? new String[0] : given.split("&")) {
            int sign = pair.indexOf('=');
            query.put(pair.substring(0, Math.max(sign, 0)), pair.substring(sign + 1));
        }
        Matcher build = Pattern.compile("/job/([^/]+)/build").matcher(path);
        if (path.equals("/createItem")) {
            createJob(query.getOrDefault("name", ""), body);
            reply(exchange, 200, "text/plain", "stand-in: made\n");
        } else if (build.matches() && NAME.matcher(build.group(1)).matches()
                && Files.isDirectory(home.resolve("jobs").resolve(build.group(1)))) {
            if (quiet) {
                reply(exchange, 503, "text/plain", "stand-in: Jenkins is going to shut down\n");
                return;
            }
            int number = build(build.group(1), Double.parseDouble(query.getOrDefault("seconds", "5")));
            exchange.getResponseHeaders().set("Location", url() + "job/" + build.group(1) + "/" + number + "/");
            reply(exchange, 201, "text/plain", number + "\n");
        } else if (path.equals("/quietDown") || path.equals("/cancelQuietDown")) {
            quiet = path.equals("/quietDown");
            reply(exchange, 200, "text/plain", "stand-in: " + (quiet ? "quiet" : "not quiet") + "\n");
        } else {
            reply(exchange, 404, "text/plain", "stand-in: not found\n");
        }
    }

    String url() {
        return String.valueOf(at(configuration, "unclassified", "location", "url"));
    }

    static String origin(HttpExchange exchange) {
        String scheme = exchange.getRequestHeaders().getFirst("X-Forwarded-Proto");
        String host = exchange.getRequestHeaders().getFirst("X-Forwarded-Host");
        return (scheme == null ? "http" : scheme) + "://" + (host == null ? exchange.getRequestHeaders().getFirst("Host") : host);
    }

    String user(HttpExchange exchange) {
        String header = exchange.getRequestHeaders().getFirst("Authorization");
        if (header == null || !header.startsWith("Basic ")) {
            return null;
        }
        String given = new String(Base64.getDecoder().decode(header.substring(6)), StandardCharsets.UTF_8);
        int sign = given.indexOf(':');
        String name = sign < 0 ? given : given.substring(0, sign);
        String password = users.get(name);
        boolean right = password != null && MessageDigest.isEqual(password.getBytes(StandardCharsets.UTF_8),
            given.substring(sign + 1).getBytes(StandardCharsets.UTF_8));
        return right ? name : null;
    }

    String crumb(String user) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest((key + user).getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest);
        } catch (java.security.NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    void reply(HttpExchange exchange, int status, String type, String body) throws IOException {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", type + ";charset=utf-8");
        exchange.getResponseHeaders().set("X-Jenkins", "stand-in");
        exchange.getResponseHeaders().set("X-Stand-In-Version", version);
        boolean head = exchange.getRequestMethod().equals("HEAD");
        exchange.sendResponseHeaders(status, head ? -1 : bytes.length);
        if (!head) {
            exchange.getResponseBody().write(bytes);
        }
    }

    /** Reads JSON, which the role writes the configuration in. */
    static final class Json {
        private final String text;
        private int at;

        Json(String text) {
            this.text = text;
        }

        static String quoted(String value) {
            StringBuilder result = new StringBuilder("\"");
            for (char letter : value.toCharArray()) {
                result.append(letter == '"' || letter == '\\' ? "\\" + letter
                    : letter < ' ' ? String.format("\\u%04x", (int) letter) : String.valueOf(letter));
            }
            return result.append('"').toString();
        }

        Object whole() {
            Object value = value();
            blanks();
            if (at != text.length()) {
                throw new IllegalArgumentException("stand-in: more than one value at " + at);
            }
            return value;
        }

        private void blanks() {
            while (at < text.length() && Character.isWhitespace(text.charAt(at))) {
                at++;
            }
        }

        private boolean take(char letter) {
            blanks();
            if (at < text.length() && text.charAt(at) == letter) {
                at++;
                return true;
            }
            return false;
        }

        private void must(char letter) {
            if (!take(letter)) {
                throw new IllegalArgumentException("stand-in: no " + letter + " at " + at + " of the configuration");
            }
        }

        private Object value() {
            if (take('{')) {
                Map<String, Object> map = new LinkedHashMap<>();
                while (!take('}')) {
                    if (!map.isEmpty()) {
                        must(',');
                    }
                    must('"');
                    String name = string();
                    must(':');
                    map.put(name, value());
                }
                return map;
            }
            if (take('[')) {
                List<Object> list = new ArrayList<>();
                while (!take(']')) {
                    if (!list.isEmpty()) {
                        must(',');
                    }
                    list.add(value());
                }
                return Collections.unmodifiableList(list);
            }
            if (take('"')) {
                return string();
            }
            int from = at;
            while (at < text.length() && ",]} \n\r\t".indexOf(text.charAt(at)) < 0) {
                at++;
            }
            String word = text.substring(from, at);
            return switch (word) {
                case "true" -> Boolean.TRUE;
                case "false" -> Boolean.FALSE;
                case "null" -> null;
                default -> word.contains(".") ? (Object) Double.valueOf(word) : (Object) Long.valueOf(word);
            };
        }

        private String string() {
            StringBuilder result = new StringBuilder();
            while (text.charAt(at) != '"') {
                char letter = text.charAt(at++);
                if (letter == '\\') {
                    letter = text.charAt(at++);
                    switch (letter) {
                        case 'n' -> letter = '\n';
                        case 't' -> letter = '\t';
                        case 'r' -> letter = '\r';
                        case 'b' -> letter = '\b';
                        case 'f' -> letter = '\f';
                        case 'u' -> {
                            letter = (char) Integer.parseInt(text.substring(at, at + 4), 16);
                            at += 4;
                        }
                        default -> { }
                    }
                }
                result.append(letter);
            }
            at++;
            return result.toString();
        }
    }
}
