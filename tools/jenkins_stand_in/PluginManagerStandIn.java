// A stand-in for Jenkins' plug-in installation manager, for tests. It takes the options that the role jenkins gives and
// resolves what plug-ins say they need, from a folder of an update centre's shape.

import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Map;
import java.util.TreeMap;
import java.util.jar.JarFile;
import java.util.jar.Manifest;

public final class PluginManagerStandIn {
    public static void main(String[] arguments) throws IOException {
        Map<String, String> options = new TreeMap<>();
        for (int at = 0; at + 1 < arguments.length; at += 2) {
            options.put(arguments[at], arguments[at + 1]);
        }
        if (!"false".equals(options.get("--latest")) || !Files.exists(Path.of(options.get("--war")))) {
            throw new IllegalArgumentException("stand-in: --latest false and a --war are wanted");
        }
        Path folder = Path.of(options.get("--plugin-download-directory"));
        Files.createDirectories(folder);
        Map<String, String> fetched = new TreeMap<>();
        Deque<String> wanted = new ArrayDeque<>(Files.readAllLines(Path.of(options.get("--plugin-file"))));
        while (!wanted.isEmpty()) {
            String[] entry = wanted.poll().strip().split(":");
            // What is named comes before what is needed, and is not lowered by it.
            if (entry.length != 2 || fetched.putIfAbsent(entry[0], entry[1]) != null) {
                continue;
            }
            String address = System.getenv("JENKINS_UC_DOWNLOAD") + "/plugins/" + entry[0] + "/" + entry[1] + "/" + entry[0]
                + ".hpi";
            Path file = folder.resolve(entry[0] + ".jpi");
            try (InputStream content = URI.create(address).toURL().openStream()) {
                Files.copy(content, file, StandardCopyOption.REPLACE_EXISTING);
            }
            try (JarFile jar = new JarFile(file.toFile())) {
                Manifest manifest = jar.getManifest();
                String needs = manifest.getMainAttributes().getValue("Plugin-Dependencies");
                for (String need : needs == null ? new String[0] : needs.split(",")) {
                    if (!need.contains("resolution:=optional")) {
                        wanted.add(need.split(";")[0]);
                    }
                }
            }
            System.out.println("stand-in: fetched " + entry[0] + " " + entry[1]);
        }
    }
}
