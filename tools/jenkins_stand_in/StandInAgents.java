// The stand-in's agents: machines of an Auto Scaling group, asked for when builds wait, reached by SSH, ended when they are idle.
// It is what the plug-ins ec2-fleet and ssh-slaves do in Jenkins as far as others see it, and shares no code with them. Builds run
// a command on the agent; nothing of Jenkins runs there.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

final class StandInAgents {
    /** What the plug-in's documentation names; the real one does not start with a name that it does not know. */
    static final Set<String> KNOWN = Set.of("name", "awsCredentialsId", "computerConnector", "region", "fleet", "endpoint", "fsRoot",
        "privateIpUsed", "alwaysReconnect", "labelString", "idleMinutes", "minSize", "maxSize", "minSpareSize", "maxTotalUses",
        "numExecutors", "addNodeOnlyIfRunning", "restrictUsage", "executorScaler", "disableTaskResubmit",
        "terminateOnConnectionFailure", "initOnlineTimeoutSec", "initOnlineCheckIntervalSec", "cloudStatusIntervalSec",
        "noDelayProvision");

    record Waiting(String title, Path record, String label, double seconds) { }

    static final class Agent {
        final String id;
        final String address;
        final List<String> builds = new ArrayList<>();
        boolean there;
        boolean connecting;
        boolean online;
        boolean leaving;
        boolean ended;
        long idleSince = System.nanoTime();

        Agent(String id, String address) {
            this.id = id;
            this.address = address;
        }

        boolean stays() {
            return there && !leaving && !ended;
        }
    }

    final StandIn standIn;
    final Object cloud;
    final List<Waiting> queue = new ArrayList<>();
    final Map<String, Agent> agents = new TreeMap<>();
    final ExecutorService workers = Executors.newCachedThreadPool();
    List<String> labels = List.of();
    long executors;
    long most;
    long idleNanoseconds;
    Object connector;
    String user;
    Path keys;
    Writer commands;
    BufferedReader answers;

    StandInAgents(StandIn standIn) throws IOException {
        this.standIn = standIn;
        Object clouds = StandIn.at(standIn.configuration, "jenkins", "clouds");
        cloud = clouds instanceof List<?> list && !list.isEmpty() ? StandIn.at(list.get(0), "eC2Fleet") : null;
        if (cloud instanceof Map<?, ?> map) {
            if (!KNOWN.containsAll(map.keySet())) {
                throw new IllegalStateException("stand-in: eC2Fleet has a name that its documentation does not: " + map.keySet());
            }
            begin();
        }
    }

    private void begin() throws IOException {
        labels = List.of(text("labelString").split(" "));
        executors = (Long) StandIn.at(cloud, "numExecutors");
        most = (Long) StandIn.at(cloud, "maxSize");
        // Tests have no minutes.
        idleNanoseconds = TimeUnit.SECONDS.toNanos(Integer.getInteger("standin.agents.idle.seconds",
            (int) ((Long) StandIn.at(cloud, "idleMinutes") * 60)));
        connector = StandIn.at(cloud, "computerConnector", "sshConnector");
        keys = Files.createTempDirectory("agents", PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        Object given = StandIn.at(standIn.configuration, "credentials", "system", "domainCredentials");
        for (Object entry : (List<?>) StandIn.at(((List<?>) given).get(0), "credentials")) {
            Object key = StandIn.at(entry, "basicSSHUserPrivateKey");
            if (key != null && StandIn.at(key, "id").equals(StandIn.at(connector, "credentialsId"))) {
                user = String.valueOf(StandIn.at(key, "username"));
                Path file = Files.createFile(keys.resolve("key"),
                    PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
                String value = String.valueOf(StandIn.at(key, "privateKeySource", "directEntry", "privateKey"));
                Files.writeString(file, StandIn.resolved(value) + "\n");
            }
        }
        Process group = new ProcessBuilder("/opt/stackyard/venv/bin/python", "/usr/share/java/jenkins-stand-in-agents-group",
            text("fleet"), text("region")).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        commands = group.outputWriter();
        answers = group.inputReader();
        // The real one does not start either without its group.
        ask("state");
        standIn.timer.scheduleWithFixedDelay(this::look, 0, 2, TimeUnit.SECONDS);
    }

    private String text(String name) {
        return String.valueOf(StandIn.at(cloud, name));
    }

    private Object ask(String command) throws IOException {
        commands.write(command + "\n");
        commands.flush();
        String line = answers.readLine();
        if (line == null) {
            throw new IOException("the group's helper has ended");
        }
        Object answer = new StandIn.Json(line).whole();
        if (StandIn.at(answer, "error") != null) {
            throw new IOException(String.valueOf(StandIn.at(answer, "error")));
        }
        return answer;
    }

    synchronized void queue(Waiting item) {
        queue.add(item);
    }

    private synchronized void look() {
        try {
            Object state = ask("state");
            learn((List<?>) StandIn.at(state, "machines"));
            beginBuilds();
            long desired = (Long) StandIn.at(state, "desired");
            if (!askForMore(desired)) {
                endIdle(desired);
            }
        } catch (IOException | RuntimeException error) {
            System.err.println("stand-in: the agents could not be looked after: " + error);
        }
    }

    private void learn(List<?> machines) {
        agents.values().forEach(agent -> agent.there = false);
        for (Object machine : machines) {
            String id = String.valueOf(StandIn.at(machine, "id"));
            Agent agent = agents.computeIfAbsent(id, name -> new Agent(name, String.valueOf(StandIn.at(machine, "address"))));
            agent.there = true;
            if (!agent.online && !agent.connecting) {
                agent.connecting = true;
                workers.execute(() -> connect(agent));
            }
        }
        agents.values().removeIf(agent -> !agent.there && agent.builds.isEmpty());
    }

    private void connect(Agent agent) {
        boolean connected = false;
        try {
            // What starts an agent's program in the real one.
            connected = ssh(agent, StandIn.at(connector, "javaPath") + " -version && mkdir -p " + text("fsRoot") + "/workspace")
                .redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor() == 0;
        } catch (IOException | InterruptedException error) {
            System.err.println("stand-in: " + agent.id + " could not be reached: " + error);
        }
        synchronized (this) {
            agent.online = connected;
            agent.connecting = false;
            agent.idleSince = System.nanoTime();
        }
    }

    private ProcessBuilder ssh(Agent agent, String command) {
        Object manually = StandIn.at(connector, "sshHostKeyVerificationStrategy", "manuallyTrustedKeyVerificationStrategy",
            "requireInitialManualTrust");
        List<String> words = new ArrayList<>(List.of("ssh", "-F", "none", "-i", keys.resolve("key").toString()));
        Map<String, String> options = new LinkedHashMap<>();
        options.put("BatchMode", "yes");
        options.put("IdentitiesOnly", "yes");
        options.put("ConnectTimeout", "5");
        options.put("ServerAliveInterval", "5");
        options.put("StrictHostKeyChecking", Boolean.FALSE.equals(manually) ? "accept-new" : "yes");
        options.put("UserKnownHostsFile", keys.resolve("known_hosts").toString());
        // A machine that gets the address of an earlier one has another key.
        options.put("HostKeyAlias", agent.id);
        options.forEach((name, value) -> words.addAll(List.of("-o", name + "=" + value)));
        words.addAll(List.of("-p", String.valueOf(StandIn.at(connector, "port")), user + "@" + agent.address, command));
        return new ProcessBuilder(words);
    }

    private void beginBuilds() throws IOException {
        for (Waiting item : List.copyOf(queue)) {
            Agent free = agents.values().stream()
                .filter(agent -> agent.online && agent.stays() && agent.builds.size() < executors).findFirst().orElse(null);
            if (free == null || standIn.quiet || !labels.contains(item.label)) {
                continue;
            }
            queue.remove(item);
            free.builds.add(item.title);
            StandIn.write(item.record, "<build><result>RUNNING</result><builtOn>" + free.id + "</builtOn></build>\n");
            // Registered before it can end.
            synchronized (standIn.running) {
                standIn.running.put(item.title, workers.submit(() -> build(item, free)));
            }
        }
    }

    private void build(Waiting item, Agent agent) {
        String result = "FAILURE";
        try {
            Path log = item.record.resolveSibling("log");
            String command = "cd " + text("fsRoot") + "/workspace && echo built by $(whoami) on $(hostname) && sleep " + item.seconds;
            result = ssh(agent, command).redirectErrorStream(true).redirectOutput(log.toFile()).start().waitFor() == 0
                ? "SUCCESS" : "FAILURE";
        } catch (IOException | InterruptedException error) {
            System.err.println("stand-in: " + item.title + " on " + agent.id + ": " + error);
        }
        Future<?> own;
        synchronized (standIn.running) {
            own = standIn.running.get(item.title);
        }
        if (own != null && !own.isCancelled()) {
            standIn.finishRunning(item.title, item.record, result, "<builtOn>" + agent.id + "</builtOn>");
        }
        synchronized (this) {
            agent.builds.remove(item.title);
            agent.idleSince = System.nanoTime();
        }
    }

    private boolean askForMore(long desired) throws IOException {
        long waiting = queue.stream().filter(item -> labels.contains(item.label)).count();
        List<Agent> staying = agents.values().stream().filter(Agent::stays).toList();
        long free = staying.stream().mapToLong(agent -> executors - agent.builds.size()).sum();
        long lacking = waiting - free - Math.max(0, desired - staying.size()) * executors;
        long wanted = Math.min(most, desired + (lacking + executors - 1) / executors);
        if (standIn.quiet || lacking <= 0 || wanted <= desired) {
            return false;
        }
        ask("desired " + wanted + " " + most);
        return true;
    }

    private void endIdle(long desired) throws IOException {
        for (Agent agent : agents.values()) {
            if (agent.online && agent.stays() && agent.builds.isEmpty()
                    && System.nanoTime() - agent.idleSince > idleNanoseconds) {
                agent.ended = true;
                ask("desired " + Math.max(0, desired - 1) + " " + most);
                ask("end " + agent.id);
                return;
            }
        }
    }

    /** Does what the image's Groovy script does in the real one. */
    synchronized void beDrained() throws IOException {
        Path leaving = StandIn.RUN.resolve("leaving");
        List<String> named = Files.exists(leaving) ? Files.readAllLines(leaving) : List.of();
        List<String> entries = new ArrayList<>();
        for (Agent agent : agents.values()) {
            agent.leaving |= named.contains(agent.id);
            entries.add(StandIn.Json.quoted(agent.id) + ": {\"leaving\": " + agent.leaving + ", \"builds\": ["
                + String.join(", ", agent.builds.stream().map(StandIn.Json::quoted).toList()) + "]}");
        }
        StandIn.write(StandIn.RUN.resolve("agents.json"), "{" + String.join(", ", entries) + "}");
    }

    synchronized String computers() {
        List<String> entries = new ArrayList<>();
        for (Agent agent : agents.values()) {
            entries.add("{\"displayName\": " + StandIn.Json.quoted(agent.id) + ", \"offline\": " + (!agent.online || agent.leaving)
                + ", \"temporarilyOffline\": " + agent.leaving + ", \"idle\": " + agent.builds.isEmpty() + "}");
        }
        return "{\"application\": \"stand-in\", \"computer\": [" + String.join(", ", entries) + "]}\n";
    }

    synchronized String waiting() {
        List<String> entries = new ArrayList<>();
        for (Waiting item : queue) {
            entries.add("{\"task\": {\"name\": " + StandIn.Json.quoted(item.title) + "}, \"why\": "
                + StandIn.Json.quoted("Waiting for an agent of " + item.label) + "}");
        }
        return "{\"application\": \"stand-in\", \"items\": [" + String.join(", ", entries) + "]}\n";
    }
}
