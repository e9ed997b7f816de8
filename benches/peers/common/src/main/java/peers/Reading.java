package peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;

/** One sample of the input. Its fields are public, and it has an empty constructor: Flink then serialises it well. */
public final class Reading {
    private static final JsonFactory JSON = new JsonFactory();

    public String identifier;
    public long timestamp;
    public double valueInW;

    /** Reads the token stream: a mapper to objects costs several times as much. */
    public static Reading read(byte[] json) {
        Reading reading = new Reading();
        try (JsonParser tokens = JSON.createParser(json)) {
            tokens.nextToken();
            while (tokens.nextToken() == JsonToken.FIELD_NAME) {
                String field = tokens.currentName();
                tokens.nextToken();
                switch (field) {
                    case "identifier" -> reading.identifier = tokens.getText();
                    case "timestamp" -> reading.timestamp = tokens.getLongValue();
                    case "valueInW" -> reading.valueInW = tokens.getDoubleValue();
                    default -> tokens.skipChildren();
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return reading;
    }
}
